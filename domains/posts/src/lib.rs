#![doc = include_str!("../README.md")]

mod model;
mod store;

use mainstay::Domain;
use mainstay::resource::{self, Loader};

pub use model::{NewPost, Post, PostId, PostKind, PostPart, PostPatch, PostView};

/// The domain: add it to an app.
pub fn domain() -> Domain {
    Domain::new("posts")
        .about("What people write, published for everyone or kept to its author.")
        .texts("ko", include_str!("../texts/ko.toml"))
        .migrations(mainstay::store::migrations!("posts", "0001_posts"))
        .resource(resource::of::<Post>())
        .loader(Loader::many("posts.by_author", |ctx, database, authors| async move {
            let posts = store::newest_by_author(&database.read(&ctx), *ctx.identity(), &authors).await?;
            Ok(posts.into_iter().map(|post| (post.author_id, resource::Resource::view(&post))).collect())
        }))
}
