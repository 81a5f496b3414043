//! A whole cluster in one test thread, in virtual time: workloads, faults, checkers.
