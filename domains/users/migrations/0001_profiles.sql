-- What is shown of a person. The id is the account's.
CREATE TABLE profiles (
  id id PRIMARY KEY,
  display_name text NOT NULL,
  created_at time NOT NULL,
  updated_at time NOT NULL
);
