//~ somebody must own it
use mainstay::prelude::*;

#[derive(Debug)]
pub enum NoteKind {}
impl IdKind for NoteKind {
    const PREFIX: &'static str = "not";
    const NAME: &'static str = "NoteId";
}

/// Readable by its owner, but nobody owns it.
#[derive(Debug, Clone, Row, Resource)]
#[resource(read = owner, write = owner)]
pub struct Note {
    /// Its id.
    pub id: Id<NoteKind>,
}

fn main() {}
