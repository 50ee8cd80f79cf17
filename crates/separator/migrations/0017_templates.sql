-- A message that waits until WhatsApp takes its template again. Both are NULL where it waits for its customer.
ALTER TABLE held ADD COLUMN template TEXT;
ALTER TABLE held ADD COLUMN reason TEXT;
CREATE INDEX held_by_template ON held (message_id) WHERE template IS NOT NULL;

-- What robots and workflows of a portal last sent, by kind of document: their settings are the portal's and cannot be
-- read, but whoever has set them up is to hear when their template changes.
CREATE TABLE robot_uses (
    instance_id UUID NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    phone_id UUID NOT NULL REFERENCES phones (id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    template TEXT NOT NULL,
    language TEXT NOT NULL,
    given BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (instance_id, phone_id, document, template, language)
);

-- Since when a customer wants no marketing messages from a number, and when anything was last told of that: an older
-- callback that comes later changes nothing.
ALTER TABLE conversations ADD COLUMN marketing_stopped_at BIGINT;
ALTER TABLE conversations ADD COLUMN marketing_told_at BIGINT;

-- By which of Meta's ways marketing templates go: automatic, messages or marketing_messages.
ALTER TABLE messaging ADD COLUMN marketing_route TEXT NOT NULL DEFAULT 'automatic';

-- Addresses of the files that stand at the top of a template where a message brings none along.
ALTER TABLE messaging ADD COLUMN image_link TEXT;
ALTER TABLE messaging ADD COLUMN video_link TEXT;
ALTER TABLE messaging ADD COLUMN document_link TEXT;
