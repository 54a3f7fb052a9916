//! Posts over SQLite, as one writes it by hand for speed: reads inline on the worker with a connection and a cached
//! statement per thread, writes on a thread of their own, a durable commit each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::path::{Path as File, PathBuf};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUEUE: usize = 1024;

#[derive(Serialize)]
struct Post {
    id: String,
    author_id: String,
    title: String,
    body: String,
    published: bool,
    created_at: String,
    updated_at: String,
}

impl Post {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            author_id: row.get(1)?,
            title: row.get(2)?,
            body: row.get(3)?,
            published: row.get(4)?,
            created_at: row.get(5)?,
            updated_at: row.get(6)?,
        })
    }
}

#[derive(Serialize, Clone)]
struct Author {
    id: String,
    display_name: String,
    created_at: String,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    post: Post,
    author: Option<Author>,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Listed>,
}

#[derive(Deserialize)]
struct NewPost {
    title: String,
    body: String,
    published: bool,
}

#[derive(Serialize)]
struct Problem {
    title: &'static str,
}

enum Failure {
    NotFound,
    Busy,
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy"),
            Self::Database(error) => {
                eprintln!("{error}");
                (StatusCode::INTERNAL_SERVER_ERROR, "Failed")
            }
        };
        (status, Json(Problem { title })).into_response()
    }
}

type Wish = (NewPost, oneshot::Sender<rusqlite::Result<Post>>);

#[derive(Clone)]
struct App {
    file: Arc<File>,
    writer: mpsc::Sender<Wish>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let file = PathBuf::from(std::env::var("DATABASE_FILE")?);
    let connection = open(&file, OpenFlags::default())?;
    let (writer, wishes) = mpsc::channel(QUEUE);
    std::thread::spawn(move || write(&connection, wishes));

    let app = Router::new()
        .route("/api/v1/posts", get(list_posts).post(create_post))
        .route("/api/v1/posts/{id}", get(get_post))
        .with_state(App { file: file.into(), writer });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}

fn open(file: &File, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "mmap_size", 256 << 20)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Runs `read` here and now with this thread's connection.
fn reading<T>(app: &App, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    thread_local! { static OWN: RefCell<Option<Connection>> = const { RefCell::new(None) }; }
    OWN.with_borrow_mut(|own| match own {
        Some(connection) => read(connection),
        None => read(own.insert(open(&app.file, OpenFlags::default())?)),
    })
}

async fn get_post(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Post>, Failure> {
    let found = reading(&app, |connection| {
        let mut statement = connection.prepare_cached(
            "select id, author_id, title, body, published, created_at, updated_at from posts where id = ?1 and published",
        )?;
        statement.query_row([id], Post::read).optional()
    })?;
    found.map(Json).ok_or(Failure::NotFound)
}

#[derive(Deserialize)]
struct ListQuery {
    published: bool,
    limit: u32,
}

/// Newest first with their authors: one statement for the page, one for its authors.
async fn list_posts(State(app): State<App>, Query(query): Query<ListQuery>) -> Result<Json<Page>, Failure> {
    let items = reading(&app, |connection| {
        let mut statement = connection.prepare_cached(
            "select id, author_id, title, body, published, created_at, updated_at from posts
             where published = ?1 order by created_at desc, id desc limit ?2",
        )?;
        let posts: Vec<Post> =
            statement.query_map(params![query.published, query.limit], Post::read)?.collect::<Result<_, _>>()?;
        let mut ids: Vec<&str> = posts.iter().map(|post| post.author_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let marks = vec!["?"; ids.len()].join(",");
        let mut statement = connection
            .prepare_cached(&format!("select id, display_name, created_at from users where id in ({marks})"))?;
        let authors = statement.query_map(rusqlite::params_from_iter(&ids), |row| {
            Ok(Author { id: row.get(0)?, display_name: row.get(1)?, created_at: row.get(2)? })
        })?;
        let authors = authors.map(|author| author.map(|author| (author.id.clone(), author)));
        let authors: HashMap<String, Author> = authors.collect::<Result<_, _>>()?;
        let listed = posts.into_iter().map(|post| Listed { author: authors.get(&post.author_id).cloned(), post });
        Ok(listed.collect())
    })?;
    Ok(Json(Page { items }))
}

async fn create_post(State(app): State<App>, Json(new): Json<NewPost>) -> Result<(StatusCode, Json<Post>), Failure> {
    let (done, outcome) = oneshot::channel();
    app.writer.try_send((new, done)).map_err(|_| Failure::Busy)?;
    let post = outcome.await.map_err(|_| Failure::Busy)??;
    Ok((StatusCode::CREATED, Json(post)))
}

fn write(connection: &Connection, mut wishes: mpsc::Receiver<Wish>) {
    while let Some((new, done)) = wishes.blocking_recv() {
        // Who has gone away does not want to know.
        let _ = done.send(insert(connection, new));
    }
}

fn insert(connection: &Connection, new: NewPost) -> rusqlite::Result<Post> {
    let now = format!("{:.6}", jiff::Timestamp::now());
    let id = uuid::Uuid::now_v7().to_string();
    let NewPost { title, body, published } = new;
    let post =
        Post { id, author_id: "nobody".to_owned(), title, body, published, created_at: now.clone(), updated_at: now };
    let mut statement = connection.prepare_cached(
        "insert into posts (id, author_id, title, body, published, created_at, updated_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        post.id,
        post.author_id,
        post.title,
        post.body,
        post.published,
        post.created_at,
        post.updated_at
    ])?;
    Ok(post)
}
