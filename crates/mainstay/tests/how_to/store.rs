use mainstay::prelude::*;
use mainstay::store::{Value, placeholders};

use crate::{Book, BookId};

/// The book with this id.
pub(crate) async fn find_book(read: &impl Reads, id: BookId) -> Result<Option<Book>, StoreError> {
    let columns = Book::COLUMNS;
    read.row(&format!("select {columns} from books where id = $1"), &params![id]).await
}

/// Notes until when a book is lent out; the book as it is then.
pub(crate) async fn set_lent_until(tx: &Tx, id: BookId, until: Time, now: Time) -> Result<Option<Book>, StoreError> {
    let columns = Book::COLUMNS;
    let sql = format!("update books set lent_until = $2, updated_at = $3 where id = $1 returning {columns}");
    tx.row(&sql, &params![id, until, now]).await
}

/// Up to [`Loader::MOST_PER_PARENT`] books of each owner, newest first.
pub(crate) async fn newest_by_owner(read: &impl Reads, owners: &[UserId]) -> Result<Vec<Book>, StoreError> {
    let (columns, most) = (Book::COLUMNS, Loader::MOST_PER_PARENT);
    let list = placeholders(1, owners.len());
    let sql = format!(
        "select {columns} from (
             select {columns}, row_number() over (partition by owner_id order by id desc) as place
             from books
             where owner_id in ({list})
         ) as ranked
         where place <= {most}
         order by owner_id, id desc"
    );
    let params: Vec<Value> = owners.iter().map(Value::from).collect();
    read.rows(&sql, &params).await
}
