-- What a message was sent as, where its row does not tell it: a template, media, what it answers. A message that Meta
-- accepted and that failed later is sent anew from it.
ALTER TABLE messages ADD COLUMN sent_task TEXT;
