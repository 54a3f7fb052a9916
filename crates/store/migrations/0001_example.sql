-- Only for the test of `migrations!`: the store itself owns no tables but its record of migrations.
CREATE TABLE example (
    id id PRIMARY KEY
);
