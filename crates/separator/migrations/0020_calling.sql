-- Calls whose end Meta never told; alarms in both languages.

-- It was given up that the end will be told. What is told later counts all the same.
ALTER TABLE calls ADD COLUMN lost BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX calls_going_on ON calls (created_at) WHERE outcome = 'active';

-- NULL: raised by what speaks English only.
ALTER TABLE alarms ADD COLUMN text_ru TEXT;
