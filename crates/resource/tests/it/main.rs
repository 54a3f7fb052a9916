//! Resources, on both databases.

mod differential;
mod includes;
mod people;
mod promises;
mod specimen;
