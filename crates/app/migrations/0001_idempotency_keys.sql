-- Answers of requests that were sent with an `Idempotency-Key`, to be given again.
CREATE TABLE idempotency_keys (
    -- A digest of the key, who sent it and the path.
    key blob PRIMARY KEY,
    -- A digest of the query and the body.
    fingerprint blob NOT NULL,
    -- Whose things the answer tells of, where somebody had signed in: it goes with the account.
    account_id id,
    status int NOT NULL,
    headers json NOT NULL,
    body blob NOT NULL,
    expires_at time NOT NULL
);

CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);

CREATE INDEX idempotency_keys_account_id ON idempotency_keys (account_id);
