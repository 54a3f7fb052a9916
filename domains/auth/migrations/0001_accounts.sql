-- Who can sign in. The address stands as it was typed; `email_key` is the form that is compared.
CREATE TABLE accounts (
  id id PRIMARY KEY,
  email text NOT NULL,
  email_key text NOT NULL UNIQUE,
  -- A PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$hash
  password_hash text NOT NULL,
  role text NOT NULL CONSTRAINT accounts_role CHECK (role IN ('user', 'admin')),
  created_at time NOT NULL,
  updated_at time NOT NULL
);

-- One signed-in device or browser: the family of its refresh tokens.
CREATE TABLE sessions (
  id id PRIMARY KEY,
  account_id id NOT NULL REFERENCES accounts (id),
  created_at time NOT NULL,
  last_used_at time NOT NULL,
  -- The absolute end, whatever is refreshed.
  expires_at time NOT NULL,
  ended_at time
);
CREATE INDEX sessions_account_id ON sessions (account_id);

-- Each is good for one use. A spent one stays until it would have expired, so that its reuse is noticed.
CREATE TABLE refresh_tokens (
  -- SHA-256 of the token; the token itself is nowhere.
  hash blob PRIMARY KEY,
  session_id id NOT NULL REFERENCES sessions (id),
  created_at time NOT NULL,
  expires_at time NOT NULL,
  spent_at time
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

-- The keys that sign access tokens, so that every node has them.
CREATE TABLE signing_keys (
  id id PRIMARY KEY,
  algorithm text NOT NULL,
  -- The private key, sealed with a key derived from `secret_key`.
  sealed blob NOT NULL,
  public_jwk json NOT NULL,
  created_at time NOT NULL,
  -- From when it signs; it is published before.
  not_before time NOT NULL,
  -- When the last token it signed has expired.
  retires_at time
);
