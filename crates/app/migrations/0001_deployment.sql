-- What the nodes of one deployment have in common, and no other deployment has.
CREATE TABLE mainstay_deployment (
    -- There is one row.
    one int PRIMARY KEY CONSTRAINT mainstay_deployment_one CHECK (one = 1),
    -- From it follows what the deployment is called among others that share a Redis.
    id id NOT NULL,
    made_at time NOT NULL,
    -- Written when a node wants to know whether the database takes writes.
    probed_at time NOT NULL
);
