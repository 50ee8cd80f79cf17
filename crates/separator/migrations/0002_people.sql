-- People: what belongs to whom, who is signed in, and who did what.

ALTER TABLE users ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- NULL: the language of the browser.
ALTER TABLE users ADD COLUMN language TEXT;
ALTER TABLE users ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN totp_secret BYTEA;
ALTER TABLE users ADD COLUMN totp_confirmed BOOLEAN NOT NULL DEFAULT FALSE;
-- The time step of the last code that was taken: no code is taken twice.
ALTER TABLE users ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;

ALTER TABLE api_keys ADD COLUMN used_at BIGINT;

-- What hangs from a site belongs to the owner of the site. NULL: to the administrators.
ALTER TABLE sites ADD COLUMN owner_id UUID REFERENCES users (id);
UPDATE sites SET owner_id = (SELECT id FROM users WHERE role = 'admin' ORDER BY id LIMIT 1);

-- One-time links. Without a user: the link that makes the first administrator.
CREATE TABLE links (
    hash TEXT PRIMARY KEY,
    user_id UUID REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
INSERT INTO links (hash, user_id, kind, expires_at)
    SELECT hash, user_id, 'password', expires_at FROM sign_in_links;
DROP TABLE sign_in_links;

-- Browsers that are signed in.
CREATE TABLE sessions (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    browser TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Who did what to what and when. Names are kept as they were, so that a line can be read when its subject is gone.
CREATE TABLE audit (
    id UUID PRIMARY KEY,
    at BIGINT NOT NULL,
    user_id UUID,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    state TEXT NOT NULL,
    changes TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX audit_by_user ON audit (user_id, id);
CREATE INDEX audit_by_subject ON audit (subject_id, id);
