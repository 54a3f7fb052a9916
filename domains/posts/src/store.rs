use mainstay::kernel::Identity;
use mainstay::prelude::*;
use mainstay::store::{Value, placeholders};

use crate::Post;

/// Up to [`Loader::MOST_PER_PARENT`] posts of each author, newest first, that the caller may see.
pub(crate) async fn newest_by_author(
    read: &impl Reads,
    caller: Identity,
    authors: &[UserId],
) -> Result<Vec<Post>, StoreError> {
    let columns = Post::COLUMNS;
    let most = Loader::MOST_PER_PARENT;
    // An anonymous caller owns nothing: the nil id is nobody's.
    let caller = caller.user_id().unwrap_or(UserId::from_uuid(Default::default()));
    let mut params: Vec<Value> = vec![caller.into()];
    params.extend(authors.iter().map(|a| Value::from(*a)));
    let list = placeholders(2, authors.len());
    let sql = format!(
        "select {columns} from (
             select {columns}, row_number() over (partition by author_id order by id desc) as place
             from posts
             where author_id in ({list}) and (published = true or author_id = $1)
         ) as ranked
         where place <= {most}
         order by author_id, id desc"
    );
    read.rows(&sql, &params).await
}

/// Removes everything an author wrote.
pub(crate) async fn delete_by_author(tx: &Tx, author: UserId) -> Result<(), StoreError> {
    tx.execute("delete from posts where author_id = $1", &params![author]).await?;
    Ok(())
}
