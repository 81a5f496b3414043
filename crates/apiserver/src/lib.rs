//! A request's way in: http, authentication, authorization, admission, verbs, cache, watch, discovery, OpenAPI.
