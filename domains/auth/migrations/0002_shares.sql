-- The network an account was registered from, and the one a session was last signed in or refreshed from, as keyed hashes:
-- there the account is at home, and who guesses elsewhere does not keep its owner out.
ALTER TABLE accounts ADD COLUMN network blob;
ALTER TABLE sessions ADD COLUMN network blob;

-- Where a token was spent: what its successor was made with, so that asking again soon gives the same one.
ALTER TABLE refresh_tokens ADD COLUMN seed blob;

-- How passwords are hashed here and were before, up to the salt: $argon2id$v=19$m=…,t=…,p=…. A wrong password takes the work
-- of every one of them, whether or not there is such an account.
CREATE TABLE password_forms (
  form text PRIMARY KEY
);
-- All that was written before this step has a salt of 22 letters and a hash of 43.
INSERT INTO password_forms (form)
  SELECT DISTINCT substr(password_hash, 1, length(password_hash) - 67) FROM accounts
  WHERE password_hash LIKE '$argon2id$v=19$m=%';
