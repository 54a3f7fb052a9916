//! How the schemas of one deployment are named on PostgreSQL. Everything that names one asks here.

use crate::sql::quoted;

/// The longest prefix: the longest name of a domain and it are a name of PostgreSQL's, which has 63 bytes.
const LONGEST_PREFIX: usize = 23;

/// "mainstay" in ASCII: nobody else's advisory lock.
const LOCK: i64 = 0x6d61_696e_7374_6179;

/// The names of the schemas: one for each domain, and one for the record of migrations.
#[derive(Debug, Clone)]
pub(crate) struct Schemas {
    prefix: String,
}

impl Schemas {
    /// With a prefix that was checked.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Whether a prefix can stand before every name.
    ///
    /// # Errors
    /// What one looks like.
    pub(crate) fn check_prefix(prefix: &str) -> Result<(), String> {
        let is_shaped = prefix.is_empty() || prefix.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_shaped || !is_plain || prefix.len() > LONGEST_PREFIX || prefix.starts_with("pg_") {
            return Err(format!(
                "it is at most {LONGEST_PREFIX} lower-case letters, digits and `_`, does not begin with a digit, and not \
                 with `pg_`, which is PostgreSQL's own: `mainstay_`"
            ));
        }
        Ok(())
    }

    /// The schema of a domain.
    pub(crate) fn of(&self, domain: &str) -> String {
        format!("{}{domain}", self.prefix)
    }

    /// The domain whose schema this is.
    pub(crate) fn domain<'a>(&self, schema: &'a str) -> &'a str {
        schema.strip_prefix(&self.prefix).unwrap_or(schema)
    }

    /// The schema of the record.
    pub(crate) fn record(&self) -> String {
        self.of("mainstay")
    }

    /// The record of migrations, as it stands in SQL.
    pub(crate) fn migrations(&self) -> String {
        format!("{}.mainstay_migrations", quoted(&self.record()))
    }

    /// What a copy has carried over so far, as it stands in SQL.
    pub(crate) fn copies(&self) -> String {
        format!("{}.copies", quoted(&self.record()))
    }

    /// The search path that finds the tables of these domains, and no others: what is missing is missing, and not found
    /// among somebody else's in `public`.
    pub(crate) fn path<'a>(&self, domains: impl IntoIterator<Item = &'a str>) -> String {
        domains.into_iter().map(|domain| quoted(&self.of(domain))).collect::<Vec<_>>().join(", ")
    }

    /// The advisory lock for migrating these schemas: deployments in one database do not wait for each other.
    pub(crate) fn lock(&self) -> i64 {
        self.prefix.bytes().fold(LOCK, |lock, byte| lock.rotate_left(5) ^ i64::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_before_every_name() {
        let (plain, own) = (Schemas::new(""), Schemas::new("shop_"));
        assert_eq!((plain.of("auth").as_str(), own.of("auth").as_str()), ("auth", "shop_auth"));
        assert_eq!(own.domain("shop_auth"), "auth");
        assert_eq!(own.migrations(), "\"shop_mainstay\".mainstay_migrations");
        assert_eq!(own.path(["auth", "posts"]), "\"shop_auth\", \"shop_posts\"");
        assert_eq!(plain.lock(), LOCK);
        assert_ne!(own.lock(), plain.lock());
    }

    #[test]
    fn a_prefix_is_checked() {
        for prefix in ["", "mainstay_", "_a", "a1_", &"a".repeat(23)] {
            assert_eq!(Schemas::check_prefix(prefix), Ok(()), "{prefix}");
        }
        for prefix in ["Shop_", "1a", "a-b", "a b", "a\"", "é", "pg_", "pg_a", &"a".repeat(24)] {
            assert!(Schemas::check_prefix(prefix).unwrap_err().contains("lower-case"), "{prefix}");
        }
    }
}
