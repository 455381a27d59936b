//! The checks of the specification, bodies in the shape of real clients, hostile input.

mod checks;
mod clients;
mod hostile;
mod markup;
