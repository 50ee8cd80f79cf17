-- How a number speaks to customers who did not write within 24 hours, and what it does with what Bitrix24 has it send.
-- A number without a row has the defaults of `registry::Messaging`.
CREATE TABLE messaging (
    phone_id UUID PRIMARY KEY REFERENCES phones (id) ON DELETE CASCADE,
    default_language TEXT,
    wrapper_name TEXT,
    wrapper_language TEXT,
    outside_window TEXT NOT NULL,
    mirror BOOLEAN NOT NULL
);

-- What operators wrote while only templates are taken: it waits for the customer, for a template, or for its end.
CREATE TABLE held (
    message_id UUID PRIMARY KEY,
    conversation_id UUID NOT NULL,
    phone_id UUID NOT NULL,
    media_id UUID,
    held_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX held_by_conversation ON held (conversation_id, message_id);
CREATE INDEX held_by_end ON held (expires_at);

-- When the customer was last heard here, which may be long after the message was written. Meta says when that is too long.
ALTER TABLE conversations ADD COLUMN heard_at BIGINT;

-- When Meta said that the 24 hours are over; counts until the customer writes again.
ALTER TABLE conversations ADD COLUMN window_closed_at BIGINT;

-- Messages that Bitrix24 asked for as SMS or by a robot, and wants to hear of.
CREATE TABLE orders (
    message_id UUID PRIMARY KEY,
    phone_id UUID NOT NULL,
    instance_id UUID NOT NULL,
    told BIGINT NOT NULL,
    deadline BIGINT,
    payload TEXT NOT NULL
);
CREATE INDEX orders_by_deadline ON orders (deadline) WHERE deadline IS NOT NULL;
