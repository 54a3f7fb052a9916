use mainstay::prelude::*;

/// Marks ids of posts.
#[derive(Debug)]
pub enum PostKind {}

impl IdKind for PostKind {
    const PREFIX: &'static str = "pst";
    const NAME: &'static str = "PostId";
}

/// A post: `pst_…`.
pub type PostId = Id<PostKind>;

/// Something a person has written.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(read = owner_or(published), write = owner, include(author = "users.by_id" by author_id))]
pub struct Post {
    /// Its id.
    #[resource(filter, sort)]
    pub id: PostId,
    /// Who wrote it.
    #[resource(owner, filter)]
    pub author_id: UserId,
    /// Its title, 1–200 characters.
    #[resource(write, filter, sort, example = "Hello")]
    #[check(line, length(min = 1, max = 200))]
    pub title: String,
    /// Its text, at most 100,000 characters.
    #[resource(write, example = "The first one.")]
    #[check(text, length(max = 100_000))]
    pub body: String,
    /// Whether anyone may read it.
    #[resource(write, default = false, filter, example = true)]
    pub published: bool,
    /// When it was written.
    #[resource(created, filter, sort)]
    pub created_at: Time,
    /// When it was last changed.
    #[resource(updated, filter, sort)]
    pub updated_at: Time,
}
