use mainstay::prelude::*;

/// Marks ids of books.
#[derive(Debug)]
pub enum BookKind {}

impl IdKind for BookKind {
    const PREFIX: &'static str = "bok";
    const NAME: &'static str = "BookId";
}

/// A book: `bok_…`.
pub type BookId = Id<BookKind>;

/// A book that somebody lends out.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(read = anyone, write = owner, include(owner = "users.by_id" by owner_id))]
pub struct Book {
    /// Its id.
    #[resource(filter, sort)]
    pub id: BookId,
    /// Whose it is.
    #[resource(owner, filter)]
    pub owner_id: UserId,
    /// Its title, 1–200 characters.
    #[resource(write, filter, sort)]
    #[check(line, length(min = 1, max = 200))]
    pub title: String,
    /// Its pages, if anyone has counted them.
    #[resource(write, filter, sort)]
    #[check(range(min = 1, max = 100_000))]
    pub pages: Option<i32>,
    /// Until when it is lent out, if it ever was.
    #[resource(filter)]
    pub lent_until: Option<Time>,
    /// When it was put on the shelf.
    #[resource(created, filter, sort)]
    pub created_at: Time,
    /// When it was last changed.
    #[resource(updated)]
    pub updated_at: Time,
}

impl Book {
    /// Whether somebody has it at this moment.
    pub fn is_lent(&self, now: Time) -> bool {
        self.lent_until.is_some_and(|until| until > now)
    }
}
