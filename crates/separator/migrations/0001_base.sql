-- One text for SQLite and PostgreSQL: ids are made by the program (UUIDv7), times are Unix milliseconds, JSON is text.

CREATE TABLE users (
    id UUID PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password TEXT,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sign_in_links (
    hash TEXT PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE sites (
    id UUID PRIMARY KEY,
    domain TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE waba_apps (
    id UUID PRIMARY KEY,
    site_id UUID NOT NULL UNIQUE REFERENCES sites (id),
    name TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_secret BYTEA NOT NULL,
    access_token BYTEA,
    config_id TEXT,
    events BOOLEAN NOT NULL,
    verify_token TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE waba_accounts (
    id UUID PRIMARY KEY,
    app_id UUID NOT NULL REFERENCES waba_apps (id),
    waba_id TEXT NOT NULL UNIQUE,
    access_token BYTEA,
    name TEXT NOT NULL,
    subscribed BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE bitrix_apps (
    id UUID PRIMARY KEY,
    site_id UUID NOT NULL REFERENCES sites (id),
    name TEXT NOT NULL,
    client_id TEXT NOT NULL UNIQUE,
    client_secret BYTEA,
    created_at BIGINT NOT NULL
);

CREATE TABLE instances (
    id UUID PRIMARY KEY,
    app_id UUID NOT NULL REFERENCES bitrix_apps (id),
    member_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    client_endpoint TEXT NOT NULL,
    server_endpoint TEXT NOT NULL,
    application_token BYTEA NOT NULL,
    access_token BYTEA NOT NULL,
    refresh_token BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    scope TEXT NOT NULL,
    language TEXT NOT NULL,
    state TEXT NOT NULL,
    problem TEXT,
    calls_per_second DOUBLE PRECISION NOT NULL,
    burst BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (app_id, member_id)
);

CREATE TABLE phones (
    id UUID PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES waba_accounts (id),
    phone TEXT NOT NULL UNIQUE,
    phone_number_id TEXT NOT NULL UNIQUE,
    instance_id UUID REFERENCES instances (id),
    sms_service BOOLEAN NOT NULL,
    automatic_texts BOOLEAN NOT NULL,
    calling TEXT NOT NULL,
    sip TEXT NOT NULL,
    sip_hostname TEXT,
    sip_port BIGINT NOT NULL,
    connection TEXT NOT NULL,
    connector TEXT,
    line_id BIGINT,
    line_name TEXT,
    error TEXT,
    paused TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX phones_by_instance ON phones (instance_id);

-- 1 The doors: what was acknowledged and is not translated yet.
CREATE TABLE receipts (
    id UUID PRIMARY KEY,
    source TEXT NOT NULL,
    owner_id UUID NOT NULL,
    received_at BIGINT NOT NULL,
    size BIGINT NOT NULL,
    body BYTEA NOT NULL
);

-- Raw callbacks that were kept: for debugging, not understood, for a number nobody has entered yet, or poisonous.
CREATE TABLE events (
    id UUID PRIMARY KEY,
    source TEXT NOT NULL,
    owner_id UUID NOT NULL,
    received_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    phone_number_id TEXT,
    body BYTEA NOT NULL
);
CREATE INDEX events_by_state ON events (state, id);

-- What was done, kept longer than Meta repeats (7 days).
CREATE TABLE done (
    key BYTEA PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX done_by_age ON done (at);

-- 2 Who is who.
CREATE TABLE persons (
    id UUID PRIMARY KEY,
    account_id UUID NOT NULL,
    user_ref TEXT NOT NULL,
    wa_id TEXT,
    user_id TEXT,
    username TEXT,
    name TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE aliases (
    account_id UUID NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    person_id UUID NOT NULL,
    PRIMARY KEY (value, kind, account_id)
);
CREATE INDEX aliases_by_person ON aliases (person_id);

CREATE TABLE conversations (
    id UUID PRIMARY KEY,
    phone_id UUID NOT NULL REFERENCES phones (id),
    person_id UUID NOT NULL,
    -- The `user.id` under which the portal knows the customer here, where it is not the person's: the chat was begun
    -- with somebody who turned out to be this person.
    user_ref TEXT,
    chat_ref TEXT NOT NULL,
    im_chat_id BIGINT,
    session_id TEXT,
    last_inbound_at BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (person_id, phone_id),
    UNIQUE (chat_ref, phone_id)
);

CREATE TABLE messages (
    id UUID PRIMARY KEY,
    phone_id UUID NOT NULL,
    conversation_id UUID NOT NULL,
    direction TEXT NOT NULL,
    origin TEXT NOT NULL,
    peer TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL,
    wamid TEXT,
    im_chat_id BIGINT,
    im_message_id BIGINT,
    media_id UUID,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    journey TEXT NOT NULL
);
CREATE INDEX messages_by_wamid ON messages (wamid);
CREATE INDEX messages_by_conversation ON messages (conversation_id, id);
CREATE INDEX messages_by_peer ON messages (peer, id);
CREATE INDEX messages_in_trouble ON messages (state, id) WHERE state IN ('queued', 'failed', 'unknown');

-- 3 What is still to be delivered. A lane is a conversation in one direction; `side` says to whom it goes.
CREATE TABLE lanes (
    id UUID NOT NULL,
    side TEXT NOT NULL,
    phone_id UUID NOT NULL,
    priority BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    head_seq BIGINT NOT NULL,
    next_seq BIGINT NOT NULL,
    PRIMARY KEY (id, side)
);
CREATE INDEX lanes_due ON lanes (phone_id, side, priority, due_at);

CREATE TABLE outbox (
    id UUID PRIMARY KEY,
    lane UUID NOT NULL,
    side TEXT NOT NULL,
    seq BIGINT NOT NULL,
    phone_id UUID NOT NULL,
    message_id UUID,
    media_id UUID,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    started_at BIGINT,
    payload TEXT NOT NULL,
    UNIQUE (lane, side, seq)
);
CREATE INDEX outbox_by_message ON outbox (message_id);
CREATE INDEX outbox_by_media ON outbox (media_id) WHERE media_id IS NOT NULL;

CREATE TABLE dead_letters (
    id UUID PRIMARY KEY,
    lane UUID NOT NULL,
    side TEXT NOT NULL,
    phone_id UUID NOT NULL,
    message_id UUID,
    media_id UUID,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    died_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX dead_letters_by_message ON dead_letters (message_id);

CREATE TABLE media (
    id UUID PRIMARY KEY,
    phone_id UUID NOT NULL,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    mime_type TEXT,
    size BIGINT,
    state TEXT NOT NULL,
    error TEXT,
    remote_id TEXT,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX media_due ON media (due_at) WHERE state = 'pending';

CREATE TABLE alarms (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    cleared_at BIGINT
);
CREATE INDEX alarms_open ON alarms (kind, subject) WHERE cleared_at IS NULL;

CREATE TABLE idempotency_keys (
    key TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until BIGINT NOT NULL
);
