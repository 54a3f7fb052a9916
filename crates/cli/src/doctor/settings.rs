//! What the settings say. Needs neither network nor database.

use crate::settings::Loaded;
use app::Finding;
use app::{Ignored, Mode, Settings};

pub fn check(loaded: &Loaded) -> Vec<Finding> {
    let mut found = of_settings(&loaded.settings);
    if !loaded.ignored.is_empty() {
        let each = loaded.ignored.iter().map(|Ignored { name, why }| format!("{name} {why}"));
        found.push(Finding::advice(
            "variables_ignored",
            format!("Variables that begin as settings do are not read: {}.", each.collect::<Vec<_>>().join("; ")),
            "Give another program's another name; in Kubernetes, `enableServiceLinks: false` in the pod's spec leaves those of \
             services out.",
        ));
    }
    found
}

fn of_settings(settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    if settings.mode == Mode::Development {
        found.push(Finding::serious(
            "development_mode",
            "The mode is development: the server makes its own secret and is for this machine alone.",
            "Set mode = \"production\", a secret_key of your own, and public_url.",
        ));
    }
    if settings.public_url.is_empty() {
        found.push(Finding::advice(
            "public_url_missing",
            "There is no public_url: tokens do not name who issued them, and nothing can say where this is reached.",
            "Set public_url to the address people use, as in https://api.example.com.",
        ));
    } else if settings.public_url.starts_with("http://") {
        found.push(Finding::serious(
            "public_url_http",
            "public_url begins with http://: passwords and tokens travel readable to everyone on the way.",
            "Put a proxy with TLS in front, and set public_url to its https:// address.",
        ));
    }
    if !settings.server.listen.ip().is_loopback() {
        found.push(Finding::advice(
            "listens_beyond_this_machine",
            format!("The server listens on {}, and speaks no TLS itself.", settings.server.listen),
            "Let only the proxy with TLS reach that port, by a firewall or by listening on 127.0.0.1.",
        ));
    }
    let is_plain = |origin: &&String| origin.trim().to_ascii_lowercase().starts_with("http://");
    if let Some(origin) = settings.server.cors.origins.iter().find(is_plain) {
        found.push(Finding::advice(
            "cors_http_origin",
            format!("Pages of {origin} may call the API; whoever is between can change such a page."),
            "Name the https:// origin in server.cors.origins instead.",
        ));
    }
    if !settings.limits.enabled {
        found.push(Finding::advice(
            "limits_off",
            "limits.enabled is false: whoever likes may call as often as the machine can answer, and guess passwords.",
            "Leave it out, and give single limits another quota in limits.policies.",
        ));
    } else if settings.mode == Mode::Production && settings.server.trusted_proxies.is_empty() {
        found.push(Finding::advice(
            "proxy_not_named",
            "server.trusted_proxies names no proxy: whoever comes through one shares a single address, and its limits.",
            "Name the proxy with TLS that stands in front, as in server.trusted_proxies = [\"10.0.0.0/8\"].",
        ));
    }
    if let Some(word) = ["trace", "debug"].into_iter().find(|word| settings.log.filter.contains(word)) {
        found.push(Finding::advice(
            "log_verbose",
            format!("log.filter asks for {word}, which slows requests down and fills disks."),
            "Set log.filter = \"info\"; go lower for one target while you look for something.",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::{Origin, SettingsBuilder};

    fn codes(set: &[(&str, &str)]) -> Vec<&'static str> {
        let mut builder = SettingsBuilder::new(Vec::new());
        let good = [
            ("mode", "production"),
            ("secret_key", "xq4Jv0cZpT2mWb8RkL6yHs3NfGd7Ue1A"),
            ("public_url", "https://api.example.com"),
            ("server.trusted_proxies", "10.0.0.1"),
        ];
        for (key, value) in good.iter().chain(set) {
            builder.set(key, value, &Origin::Flag("the test".to_owned())).unwrap();
        }
        of_settings(&builder.build().unwrap()).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_setting_that_hurts_is_told() {
        assert_eq!(codes(&[("server.listen", "127.0.0.1:8080")]), [""; 0]);
        for (key, value, code) in [
            ("mode", "development", "development_mode"),
            ("public_url", "http://api.example.com", "public_url_http"),
            ("server.listen", "0.0.0.0:80", "listens_beyond_this_machine"),
            ("server.cors.origins", "http://app.example.com", "cors_http_origin"),
            ("server.cors.origins", "HTTP://App.example.com:80", "cors_http_origin"),
            ("log.filter", "info,mainstay=debug", "log_verbose"),
            ("limits.enabled", "false", "limits_off"),
            ("server.trusted_proxies", "", "proxy_not_named"),
        ] {
            assert!(codes(&[("server.listen", "127.0.0.1:8080"), (key, value)]) == [code], "{code}");
        }
        let nowhere = [("mode", "development"), ("public_url", ""), ("server.listen", "127.0.0.1:8080")];
        assert_eq!(codes(&nowhere), ["development_mode", "public_url_missing"]);
    }
}
