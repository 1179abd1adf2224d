//! Operations on dfdx's tape.
