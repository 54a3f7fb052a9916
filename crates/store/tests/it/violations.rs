use kernel::UserId;
use store::{Store, StoreError, Value, ViolationKind, params};
use testkit::{TestDatabase, everywhere};

use crate::{ctx, open};

async fn run(store: &Store, sql: &'static str, params: &[Value]) -> Result<u64, StoreError> {
    let params = params.to_vec();
    store
        .tx(&ctx(), move |tx| {
            let params = params.clone();
            async move { tx.execute(sql, &params).await }
        })
        .await
}

const PARENT: &str = "INSERT INTO parents (id, code) VALUES ($1, $2)";
const CHILD: &str = "INSERT INTO children (parent_id, name, age, nick) VALUES ($1, $2, $3, $4)";

everywhere! {
    async fn violations_are_told_alike(db: TestDatabase) {
        let store = open(&db).await;
        let (id, other): (UserId, UserId) = (ctx().new_id(), ctx().new_id());
        run(&store, PARENT, &params![id, "one"]).await.unwrap();
        run(&store, CHILD, &params![id, "ada", 1, "a"]).await.unwrap();

        let told = |result: Result<u64, StoreError>| {
            let error = result.unwrap_err();
            let violation = error.violation().unwrap_or_else(|| panic!("{error:?}")).clone();
            let columns = violation.columns.join(", ");
            for name in violation.constraint.iter().chain(violation.table.iter().map(|t| format!("{t}.{columns}")).collect::<Vec<_>>().iter()) {
                assert!(error.violates(name), "{name}");
            }
            assert!(!error.violates("something"));
            (violation.kind, violation.constraint.unwrap_or_default(), violation.table.unwrap_or_default(), columns)
        };
        let is = |kind, constraint: &str, table: &str, columns: &str| {
            (kind, constraint.to_owned(), table.to_owned(), columns.to_owned())
        };
        use ViolationKind::{Check, ForeignKey, NotNull, Unique};
        assert_eq!(
            told(run(&store, PARENT, &params![id, "two"]).await),
            is(Unique, "parents_pkey", "parents", "id")
        );
        assert_eq!(
            told(run(&store, PARENT, &params![other, "one"]).await),
            is(Unique, "parents_code_key", "parents", "code")
        );
        assert_eq!(
            told(run(&store, CHILD, &params![id, "ada", 2, "b"]).await),
            is(Unique, "children_pkey", "children", "parent_id, name")
        );
        run(&store, PARENT, &params![other, "two"]).await.unwrap();
        assert_eq!(
            told(run(&store, CHILD, &params![other, "ada", 1, "z"]).await),
            is(Unique, "children_age_index", "children", "name, age")
        );
        assert_eq!(
            told(run(&store, CHILD, &params![other, "bob", 1, "A"]).await),
            is(Unique, "children_lower", "", "")
        );
        assert_eq!(
            told(run(&store, CHILD, &params![id, "bob", -1, "b"]).await),
            is(Check, "children_age", "", "")
        );
        assert_eq!(
            told(run(&store, CHILD, &params![id, "bob", None::<i64>, "b"]).await),
            is(NotNull, "", "children", "age")
        );
        assert_eq!(
            told(run(&store, PARENT, &params![None::<UserId>, "b"]).await),
            is(NotNull, "", "parents", "id")
        );
        let nobody: UserId = ctx().new_id();
        assert_eq!(told(run(&store, CHILD, &params![nobody, "bob", 1, "b"]).await), is(ForeignKey, "", "", ""));
        assert_eq!(
            told(run(&store, "DELETE FROM parents WHERE id = $1", &params![id]).await),
            is(ForeignKey, "", "", "")
        );
    }
}
