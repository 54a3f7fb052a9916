use std::fmt;
use std::sync::Arc;

/// The part of a shared Redis that is one deployment's: every key and every channel is named here, with the deployment's
/// name in it, so that two deployments on one Redis never meet. Made once, before [`Backend::open`](crate::Backend::open);
/// cheap to clone.
///
/// Names begin with `ms:NAME:`, which is what an ACL allows a deployment (`~ms:NAME:* &ms:NAME:*`). In a cluster, what
/// stands in braces after that decides which server a key lies on.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySpace {
    /// `ms:NAME:`.
    prefix: Arc<str>,
}

impl KeySpace {
    /// The longest name.
    pub const MOST_BYTES: usize = 64;

    /// The part of the deployment of this name, which all of its nodes give alike and no other deployment does.
    ///
    /// # Errors
    /// What a name looks like.
    pub fn new(name: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > Self::MOST_BYTES || !name.bytes().all(is_plain) {
            return Err(format!(
                "a name among those who share a Redis is 1 to {} letters, digits, `_`, `-` and `.`: `shop-production`",
                Self::MOST_BYTES
            ));
        }
        Ok(Self { prefix: format!("ms:{name}:").into() })
    }

    /// The name of the deployment.
    pub fn name(&self) -> &str {
        self.prefix.strip_prefix("ms:").and_then(|rest| rest.strip_suffix(':')).unwrap_or_default()
    }

    /// The name of a key or a channel of this deployment.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "without Redis nothing is shared"))]
    pub(crate) fn key(&self, rest: impl fmt::Display) -> String {
        format!("{}{rest}", self.prefix)
    }
}

impl fmt::Debug for KeySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySpace").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_told_from_what_stands_round_it() {
        for name in ["a", "shop-production", "ms", "A.b_c", &"x".repeat(64)] {
            let space = KeySpace::new(name).unwrap();
            assert_eq!(space.name(), name);
            assert_eq!(space.key("x:y"), format!("ms:{name}:x:y"));
        }
        // A colon would let `a` with the key `b:x` meet `a:b` with the key `x`; braces would move keys in a cluster; the
        // rest means something in the pattern of an ACL.
        for name in ["", "a:b", "{a}", "a b", "a*", "a?", "[a]", "é", &"x".repeat(65)] {
            assert!(KeySpace::new(name).unwrap_err().contains("letters, digits"), "{name}");
        }
    }
}
