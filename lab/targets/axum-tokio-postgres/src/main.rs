//! Posts over PostgreSQL, as one writes it by hand for speed: prepared statements, pipelined over one connection per
//! worker for reads, and over more of them for writes, whose commits wait for the disk.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls, Row, Statement};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITE_CONNECTIONS: usize = 16;

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
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            author_id: row.try_get(1)?,
            title: row.try_get(2)?,
            body: row.try_get(3)?,
            published: row.try_get(4)?,
            created_at: row.try_get(5)?,
            updated_at: row.try_get(6)?,
        })
    }
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
    Database(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Self::Database(error) => {
                eprintln!("{error}");
                (StatusCode::INTERNAL_SERVER_ERROR, "Failed")
            }
        };
        (status, Json(Problem { title })).into_response()
    }
}

/// A connection with a statement prepared on it.
struct Prepared {
    client: Client,
    statement: Statement,
}

impl Prepared {
    async fn open(url: &str, sql: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
        let statement = client.prepare(sql).await?;
        Ok(Self { client, statement })
    }
}

struct App {
    readers: Vec<Prepared>,
    writers: Vec<Prepared>,
    next_writer: AtomicUsize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let url = std::env::var("DATABASE_URL")?;
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for _ in 0..std::thread::available_parallelism()?.get() {
        let sql = "select id, author_id, title, body, published, created_at, updated_at from posts
                   where id = $1 and published";
        readers.push(Prepared::open(&url, sql).await?);
    }
    for _ in 0..WRITE_CONNECTIONS {
        let sql = "insert into posts (id, author_id, title, body, published, created_at, updated_at)
                   values ($1, $2, $3, $4, $5, $6, $7)";
        writers.push(Prepared::open(&url, sql).await?);
    }
    let app = Router::new()
        .route("/api/v1/posts", post(create_post))
        .route("/api/v1/posts/{id}", get(get_post))
        .with_state(Arc::new(App { readers, writers, next_writer: AtomicUsize::new(0) }));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}

/// A number for each worker thread.
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed); }
    OWN.with(|own| *own)
}

async fn get_post(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Post>, Failure> {
    let Prepared { client, statement } = &app.readers[worker() % app.readers.len()];
    let row = client.query_opt(statement, &[&id]).await?.ok_or(Failure::NotFound)?;
    Ok(Json(Post::read(&row)?))
}

async fn create_post(
    State(app): State<Arc<App>>,
    Json(new): Json<NewPost>,
) -> Result<(StatusCode, Json<Post>), Failure> {
    let turn = app.next_writer.fetch_add(1, Ordering::Relaxed);
    let Prepared { client, statement } = &app.writers[turn % app.writers.len()];
    let now = format!("{:.6}", jiff::Timestamp::now());
    let id = uuid::Uuid::now_v7().to_string();
    let NewPost { title, body, published } = new;
    let post =
        Post { id, author_id: "nobody".to_owned(), title, body, published, created_at: now.clone(), updated_at: now };
    client
        .execute(
            statement,
            &[&post.id, &post.author_id, &post.title, &post.body, &post.published, &post.created_at, &post.updated_at],
        )
        .await?;
    Ok((StatusCode::CREATED, Json(post)))
}
