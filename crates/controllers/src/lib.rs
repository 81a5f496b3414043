//! The controllers, one file each: plan(object, view) -> actions.
