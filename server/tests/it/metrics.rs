use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::process::{Folder, Server, mainstay};

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Prometheus's text format 0.0.4: each family is described once, before its samples, and nothing else is there.
#[test]
fn the_operations_listener_tells_metrics_in_prometheus_words() {
    let folder = Folder::new();
    let server = Server::run(mainstay(&folder).args(["serve", "--listen", "127.0.0.1:0"]));
    let line = server.output.lines().find_map(|line| line.trim().strip_prefix("Metrics")).unwrap().trim().to_owned();
    let address = line.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let answer = get(address, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let mut described = BTreeSet::new();
    let mut last = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            last = rest.split(' ').next().unwrap().to_owned();
            assert!(described.insert(last.clone()), "{last} is described twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, last);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next().unwrap(), last);
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    for name in ["mainstay_cache_hits_total", "mainstay_redis_up", "mainstay_store_reruns_total"] {
        assert!(described.contains(name), "{name} is not told:\n{body}");
    }
    assert!(get(address, "/health/ready").starts_with("HTTP/1.1 200"));
    // It is not for callers.
    assert_eq!(server.get("/metrics", "").status, 404);
    assert!(get(address, "/api/v1/posts").starts_with("HTTP/1.1 404"));
}
