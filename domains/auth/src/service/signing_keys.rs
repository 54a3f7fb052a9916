//! The keys that sign access tokens, as others see them.

use std::sync::Arc;

use mainstay::prelude::*;

use super::Accounts;
use crate::keys::SigningKey;

/// Longest that a key set may be kept by others.
const MOST_KEY_SET_AGE_S: u64 = 300;

impl Accounts {
    /// The public keys, and for how many seconds others may keep the set.
    pub(crate) async fn published_keys(&self, ctx: &Ctx) -> Result<(Vec<Arc<SigningKey>>, u64), StoreError> {
        let max_age_s = (self.0.settings.key_publish_lead_s / 2).min(MOST_KEY_SET_AGE_S);
        Ok((self.0.keys.published(ctx).await?, max_age_s))
    }

    /// Makes a new signing key. It is published now and signs after `auth.key_publish_lead_s`; the present one is believed
    /// until the last token it signs has expired. Says the new key's `kid`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate_signing_key(&self, ctx: &Ctx) -> Result<String, StoreError> {
        Ok(self.0.keys.rotate(ctx).await?.to_string())
    }
}
