//! Connecting to Redis, as the code that opens a backend sees it.

use std::time::Duration;

use cache::{Asked, Backend, CacheSettings, KeySpace, OpenError};
use kernel::Random;
use testkit::{RedisServer, run};
use tokio::time::Instant;

/// Longer than anything that is waited for here.
const TIMEOUT: Duration = Duration::from_secs(30);

async fn open(url: &str) -> Result<Backend, OpenError> {
    let settings = CacheSettings { timeout_ms: 500, ..CacheSettings::at(url) };
    Backend::open(&settings, &KeySpace::new("test").unwrap(), &Random::seeded(1)).await
}

async fn until(is_so: impl Fn() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn memory_is_always_there_and_nobody_elses() {
    run(async {
        let backend = open("memory:").await.unwrap();
        assert!(backend.is_there() && !backend.is_shared());
        assert_eq!(backend.asked(), Asked::default());
        backend.close().await;
        assert!(backend.is_there());
    });
}

#[test]
fn a_redis_that_is_away_is_no_error_and_a_wrong_url_is_one_that_keeps_the_password() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        server.kill().unwrap();
        let backend = open(&server.url()).await.unwrap();
        assert!(!backend.is_there() && backend.is_shared());
        server.restart().unwrap();
        until(|| backend.is_there()).await;
        let other = backend.clone();
        backend.close().await;
        assert!(!other.is_there(), "it is closed for all who have it");
        let Err(OpenError::Settings(advice)) = open("redis://u:hunter2@h:port/0").await else {
            panic!("it is refused");
        };
        assert!(!advice.contains("hunter2"), "{advice}");
        let secret = server.url().replace("127.0.0.1", "u:hunter2@127.0.0.1");
        assert!(!format!("{:?}", open(&secret).await.unwrap()).contains("hunter2"));
    });
}

#[cfg(feature = "tls")]
#[test]
fn an_encrypted_redis_is_asked_when_its_certificate_is_believed_and_for_its_name() {
    run(async {
        let server = RedisServer::encrypted().unwrap();
        let (port, root) = (server.port(), server.authority());
        let root = root.display();
        let backend = open(&format!("rediss://localhost:{port}/0?sslrootcert={root}")).await.unwrap();
        assert!(backend.is_there());
        // The bus has a connection of its own.
        let bus = cache::Bus::new(&backend);
        until(|| bus.is_current()).await;
        for url in [
            format!("rediss://localhost:{port}/0"),
            format!("rediss://127.0.0.1:{port}/0?sslrootcert={root}"),
            format!("redis://localhost:{port}/0"),
        ] {
            assert!(!open(&url).await.unwrap().is_there(), "{url}");
        }
        for file in ["/nowhere/ca.pem", "/dev/null"] {
            let refused = open(&format!("rediss://localhost:{port}/0?sslrootcert={file}")).await;
            assert!(refused.is_err_and(|error| error.to_string().contains(file)), "{file}");
        }
    });
}
