//! What nodes remember and share, held to its promises.

mod values;
mod values_forget;
