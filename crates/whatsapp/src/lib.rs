//! Meta.
