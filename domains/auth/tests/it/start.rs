use std::time::Duration;

use mainstay::store::Reads;
use testkit::TestDatabase;

use crate::setup;

testkit::both! {
    async fn another_secret_key_stops_the_start_and_says_what_to_do(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let other = "another line, from which every key would come, 9876543210";
        let why = app.another_node(|setup| setup.set("secret_key", other)).await.unwrap_err();
        assert!(why.contains("Set secret_key to the one this database was first started with"), "{why}");
        assert!(why.contains("sealed with another secret_key, or changed in the database"), "{why}");
        assert!(!why.contains(other), "{why}");
        // Nothing was changed by it.
        let again = app.restart().await;
        ada.on(&again).get("/api/v1/who").await.expect(200);
    }

    async fn nodes_that_start_at_once_end_with_one_key(db: TestDatabase) {
        // Migrated first: this is about keys. RSA keys take so long to make that all nodes are at it together.
        let app = setup().set("auth.signing_algorithm", "RS256").start(db).await;
        let ctx = app.ctx();
        app.store().tx(&ctx, |tx| async move { tx.execute("DELETE FROM signing_keys", &[]).await }).await.unwrap();
        let nodes: Vec<_> = (0..4)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move { app.second_node().await })
            })
            .collect();
        let mut started = Vec::new();
        for node in nodes {
            started.push(node.await.unwrap());
        }
        let rows: Vec<(i64,)> = app.store().read(&ctx).rows("SELECT count(*) FROM signing_keys", &[]).await.unwrap();
        assert_eq!(rows, [(1,)]);
        let ada = started[0].user("Ada").await;
        for node in &started {
            ada.on(node).get("/api/v1/who").await.expect(200);
        }
    }

    async fn private_keys_and_tokens_are_nowhere_in_the_clear(db: TestDatabase) {
        let app = setup().set("auth.signing_algorithm", "ES256").start(db).await;
        app.user("Ada").await;
        let ctx = app.ctx();
        let rows: Vec<(Vec<u8>, mainstay::kernel::Json)> =
            app.store().read(&ctx).rows("SELECT sealed, public_jwk FROM signing_keys", &[]).await.unwrap();
        // Every PKCS #8 key begins with a sequence and its version, and names its algorithm.
        let ec_public_key = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        assert!(!rows[0].0.windows(7).any(|bytes| bytes == ec_public_key));
        assert!(rows[0].1.value().get("d").is_none() && rows[0].1.value()["kty"] == "EC");
    }

    async fn a_clock_that_was_set_back_before_the_start_revives_no_token(db: TestDatabase) {
        let app = setup().start(db).await;
        let ada = app.user("Ada").await;
        let old = ada.access_token().to_owned();
        app.clock().advance(Duration::from_secs(16 * 60));
        let fresh = ada.sign_in().await;
        app.get("/api/v1/who").bearer(&old).await.expect_problem(401, "invalid_token");
        let now = app.clock().now();
        let hour = Duration::from_secs(3600);
        // A second or an hour: time goes on from the latest sign-in.
        for behind in [Duration::from_secs(1), hour, 23 * hour] {
            let again = app.restart_at(now.minus(behind)).await;
            assert_eq!(again.clock().now(), now);
            again.get("/api/v1/who").bearer(&old).await.expect_problem(401, "invalid_token");
            fresh.on(&again).get("/api/v1/who").await.expect(200);
        }
        // The clock of then was wrong: nobody is led into its future, and what was signed there is not believed yet.
        let again = app.restart_at(now.minus(30 * hour)).await;
        assert_eq!(again.clock().now(), now.minus(30 * hour));
        again.user("Ben").await.get("/api/v1/who").await.expect(200);
    }

    async fn settings_that_contradict_themselves_stop_the_start(db: TestDatabase) {
        let why = setup().set("auth.hash_memory_kib", 64).try_start(db).await.unwrap_err();
        assert!(why.contains("[auth] hash_memory_kib is 64"), "{why}");
    }
}
