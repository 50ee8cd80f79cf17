-- Interactive messages that are written in the panel and sent by their name. They belong to an account, as templates do,
-- and every number of it can send them. `content` is Meta's object with places such as {{1}} in its texts.
CREATE TABLE interactive_messages (
    id UUID PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES waba_accounts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX interactive_messages_by_name ON interactive_messages (account_id, name);

-- What became of one when it was sent, its places filled: Meta may say afterwards that only templates are taken, and then
-- it waits like everything else.
CREATE TABLE interactive_sent (
    message_id UUID PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    content TEXT NOT NULL
);
