-- When the author of a message last edited it, as Meta tells: an edit that was overtaken by a later one changes nothing.
ALTER TABLE messages ADD COLUMN edited_at BIGINT;
