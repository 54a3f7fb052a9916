use mainstay::kernel::Identity;
use mainstay::prelude::*;
use mainstay::store::Value;

use crate::Post;

/// Up to [`Loader::MOST_PER_PARENT`] posts of each author, newest first, that the caller may see: one statement, which
/// reads no more of an author's posts than it gives back.
pub(crate) async fn newest_by_author(
    read: &impl Reads,
    caller: Identity,
    authors: &[UserId],
) -> Result<Vec<Post>, StoreError> {
    let columns = Post::COLUMNS;
    let most = Loader::MOST_PER_PARENT;
    let mut params: Vec<Value> = Vec::with_capacity(authors.len());
    let mut newest = Vec::with_capacity(authors.len());
    for author in authors {
        params.push((*author).into());
        let is_own = caller.user_id() == Some(*author);
        let visible = if is_own { "" } else { "and published = true" };
        newest.push(format!(
            "select * from (
                 select {columns} from posts where author_id = ${} {visible} order by id desc limit {most}
             ) as newest",
            params.len()
        ));
    }
    let mut posts: Vec<Post> = read.rows(&newest.join(" union all "), &params).await?;
    posts.sort_by_key(|post| std::cmp::Reverse(post.id));
    Ok(posts)
}
