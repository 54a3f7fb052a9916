use std::time::Duration;

use testkit::{App, TestDatabase, both};

use crate::notes::domain;

both! {
    async fn bytes_go_and_come(db: TestDatabase) {
        let app = App::with(domain).set("server.header_timeout_ms", 300).start(db).await;
        let served = app.serve();
        let mut wire = served.connect().await;
        // Two at once on one connection, then one in pieces.
        wire.send("GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /health/ready HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(wire.receive().await.expect(200).json()["status"], "live");
        assert_eq!(wire.receive().await.expect(200).json()["status"], "ready");
        wire.send("GET /health/ready HTTP/1.1\r\nho").await;
        wire.send("st: x\r\nconnection: close\r\n\r\n").await;
        wire.receive().await.expect(200);
        assert!(wire.is_closed_within(Duration::from_secs(5)).await);

        let mut slow = served.connect().await;
        slow.send("GET /health/live HTTP/1.1\r\n").await;
        assert!(!slow.is_closed_within(Duration::from_millis(20)).await);
        slow.rest().await;

        let mut broken = served.connect().await;
        broken.send("nonsense\r\n\r\n").await;
        broken.receive().await.expect(400);
        served.stop().await;
    }
}
