-- Connecting Bitrix24: installations with pages, chosen and offered lines, steps that are shown, what was announced
-- before its application was entered, and the code flow.

-- Whether connector, events and placements were bound since the last installation.
ALTER TABLE instances ADD COLUMN prepared BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether the portal says that the installation is finished (app.info, INSTALLED).
ALTER TABLE instances ADD COLUMN installed BOOLEAN NOT NULL DEFAULT TRUE;
-- The employee whose tokens are used.
ALTER TABLE instances ADD COLUMN installer_id BIGINT;
ALTER TABLE instances ADD COLUMN installer_name TEXT;

-- An open line that somebody chose; NULL: the number's own.
ALTER TABLE phones ADD COLUMN chosen_line_id BIGINT;
-- The portal whose administrators may link the number themselves.
ALTER TABLE phones ADD COLUMN offered_id UUID REFERENCES instances (id) ON DELETE SET NULL;
UPDATE phones SET offered_id = instance_id;

-- How far something is that is done in steps: the publishing of a number, the installation of an instance.
CREATE TABLE steps (
    subject_id UUID NOT NULL,
    name TEXT NOT NULL,
    position BIGINT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (subject_id, name)
);

-- Installations that were announced for an application that is not entered (client_id: as the authorization server named
-- it) or while the authorization server could not be asked (client_id is NULL).
CREATE TABLE announcements (
    id UUID PRIMARY KEY,
    site_id UUID NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    client_id TEXT,
    member_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    claim BYTEA NOT NULL,
    received_at BIGINT NOT NULL
);

-- Browsers that were sent to a portal's authorization page and have not come back.
CREATE TABLE authorizations (
    hash TEXT PRIMARY KEY,
    app_id UUID NOT NULL REFERENCES bitrix_apps (id) ON DELETE CASCADE,
    instance_id UUID REFERENCES instances (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id UUID NOT NULL,
    expires_at BIGINT NOT NULL
);
