//! What `docs/how-to/cache-a-resource.md` shows.

use std::time::Duration;

use mainstay::cache::{CacheConfig, Cached, Key, Unanswered};
use mainstay::prelude::*;
use mainstay::resource::{self, touch_all};
use serde_json::json;
use testkit::{App, TestDatabase, both};

use crate::people::{self, person};

#[derive(Debug)]
pub enum PosterKind {}
impl IdKind for PosterKind {
    const PREFIX: &'static str = "pos";
    const NAME: &'static str = "PosterId";
}

/// A poster on the wall.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(read = anyone, write = owner, cache = "5m", cache_lists = "30s")]
pub struct Poster {
    /// Its id.
    pub id: Id<PosterKind>,
    /// Who put it up.
    #[resource(owner)]
    pub owner_id: UserId,
    /// What it says.
    #[resource(write)]
    #[check(line, length(min = 1, max = 200))]
    pub words: String,
    /// How many liked it.
    pub likes: i64,
}

/// Takes down what nobody likes.
async fn take_down_unliked(tx: &Tx) -> Result<u64, StoreError> {
    touch_all::<Poster>(tx);
    tx.execute("delete from posters where likes = 0", &[]).await
}

/// How full the wall is.
#[view]
#[derive(Debug, Clone, Copy)]
pub struct WallView {
    /// Posters on it.
    posters: i64,
}

/// How full is the wall?
#[get("/wall", cache = "1m", cache_of = "posters.list")]
async fn get_wall(ctx: Ctx, database: Database) -> Result<Json<WallView>, StoreError> {
    let counted: Option<(i64,)> = database.read(&ctx).row("select count(*) from posters", &[]).await?;
    Ok(Json(WallView { posters: counted.map_or(0, |(posters,)| posters) }))
}

/// The most-liked words, worked out with some effort.
#[derive(Debug, Clone)]
struct Fame {
    store: Store,
    words: Cached<Vec<String>>,
}

impl Service for Fame {}

impl Fame {
    fn start(boot: &Boot) -> Result<Self, StartError> {
        let config = CacheConfig::new("fame").keep(Duration::from_secs(60)).stale(Duration::from_secs(600));
        let words = boot.cache().configure(config).map_err(|error| StartError::new(error.to_string()))?;
        Ok(Self { store: boot.store().clone(), words })
    }

    async fn words(&self, ctx: &Ctx) -> Result<Vec<String>, FameError> {
        let load = || async {
            let sql = "select words from posters order by likes desc, id limit 10";
            let rows: Vec<(String,)> = self.store.read(ctx).rows(sql, &[]).await?;
            Ok::<_, FameError>(Some(rows.into_iter().map(|(words,)| words).collect()))
        };
        let found = self.words.get(ctx, &Key::of("fame").field("words"), load).await?;
        Ok(found.map(|words| words.to_vec()).unwrap_or_default())
    }
}

#[derive(Debug, ApiError)]
pub enum FameError {
    /// Others are working it out, and are not done.
    #[api(Unavailable, "It takes too long right now. Try again in a moment.")]
    Slow,
    #[api(from)]
    Store(StoreError),
}

impl From<Unanswered> for FameError {
    fn from(_: Unanswered) -> Self {
        Self::Slow
    }
}

/// What is liked most?
#[get("/fame")]
async fn list_fame(ctx: Ctx, fame: Fame) -> Result<Json<Vec<String>>, FameError> {
    Ok(Json(fame.words(&ctx).await?))
}

/// Tidy the wall.
#[post("/wall/tidy")]
async fn tidy_wall(ctx: Ctx, database: Database) -> Result<NoContent, StoreError> {
    database.tx(&ctx, |tx| async move { take_down_unliked(&tx).await }).await?;
    Ok(NoContent)
}

fn domain() -> Domain {
    const TABLES: mainstay::store::Migrations = mainstay::store::Migrations {
        domain: "wall",
        steps: &[(
            "0001_posters",
            "create table posters (id id primary key, owner_id id not null, words text not null,
                                   likes int not null default 0);",
        )],
    };
    Domain::new("wall")
        .migrations(TABLES)
        .resource(resource::of::<Poster>())
        .endpoint(get_wall)
        .endpoint(list_fame)
        .endpoint(tidy_wall)
        .provide(|boot: Boot| async move {
            boot.put(Fame::start(&boot)?);
            Ok(())
        })
}

both! {
    async fn what_is_kept_is_true(db: TestDatabase) {
        let app = App::with(people::domain).and(domain).start(db).await;
        let ada = person(&app, 1);
        let wall = async || app.get("/api/v1/wall").await.expect(200).json()["posters"].clone();
        assert_eq!((wall().await, wall().await, wall().await), (json!(0), json!(0), json!(0)));
        let poster = ada.post("/api/v1/posters").json(&json!({ "words": "Hello" })).await.expect(201);
        let path = poster.header("location").unwrap();
        assert_eq!(wall().await, 1);
        app.get(path).await.expect(200);
        assert_eq!(app.get("/api/v1/fame").await.expect(200).json(), json!(["Hello"]));
        app.post("/api/v1/wall/tidy").await.expect(204);
        app.get(path).await.expect_problem(404, "poster_not_found");
        assert_eq!(wall().await, 0);
        // Nobody said that this one changes.
        assert_eq!(app.get("/api/v1/fame").await.expect(200).json(), json!(["Hello"]));
        let loads = app.running().cache().stats().configs.iter().map(|config| (config.name.clone(), config.loads)).collect::<Vec<_>>();
        assert!(loads.contains(&("fame".to_owned(), 1)), "{loads:?}");
    }
}
