-- Accounts that a kept answer tells of though it was not given to them: whoever registers is nobody yet. The answer goes with
-- them all the same. An account is made once, so it has one row at most.
CREATE TABLE idempotency_subjects (
    account_id id PRIMARY KEY,
    -- The answer's; it may be there or not.
    key blob NOT NULL,
    expires_at time NOT NULL
);

CREATE INDEX idempotency_subjects_expires_at ON idempotency_subjects (expires_at);

-- Until now nobody knew whose these are, and their fingerprints are digests without a key, of bodies with passwords in them.
DELETE FROM idempotency_keys WHERE account_id IS NULL;
