use mainstay::prelude::*;
use mainstay::resource;

/// Marks ids of notes.
#[derive(Debug)]
pub(crate) enum NoteKind {}

impl IdKind for NoteKind {
    const PREFIX: &'static str = "not";
    const NAME: &'static str = "NoteId";
}

/// What somebody wrote down. Kept for a minute where it was read, its lists for ten seconds; a change is seen at once,
/// on every node that shares the Redis of `cache.url`.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(
    read = owner_or(published),
    write = owner,
    cache = "1m",
    cache_lists = "10s",
    include(author = "users.by_id" by author_id)
)]
pub(crate) struct Note {
    /// Its id.
    #[resource(filter, sort)]
    pub(crate) id: Id<NoteKind>,
    /// Who wrote it.
    #[resource(owner, filter)]
    pub(crate) author_id: UserId,
    /// Its title, 1–200 characters.
    #[resource(write, filter, sort)]
    #[check(line, length(min = 1, max = 200))]
    pub(crate) title: String,
    /// Its text, at most 10,000 characters.
    #[resource(write)]
    #[check(text, length(max = 10_000))]
    pub(crate) body: String,
    /// Whether anyone may read it.
    #[resource(write, default = false, filter)]
    pub(crate) published: bool,
    /// When it was written.
    #[resource(created, filter, sort)]
    pub(crate) created_at: Time,
    /// When it was last changed.
    #[resource(updated)]
    pub(crate) updated_at: Time,
}

pub(crate) fn domain() -> Domain {
    Domain::new("notes")
        .about("What people write down, read far more often than written.")
        .migrations(migrations!("notes", "0001_notes"))
        .resource(resource::of::<Note>())
}
