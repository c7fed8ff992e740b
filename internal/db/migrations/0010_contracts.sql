-- Lists of contracts by their ends, of people by sponsor and rule: a page of the console costs a page, not the population.

CREATE INDEX engagements_contracts ON engagements (end_at, seq, vendor) WHERE deleted = 0 AND end_at IS NOT NULL;
CREATE INDEX persons_sponsor ON persons (sponsor_id) WHERE sponsor_id <> '';
CREATE INDEX holdings_rule ON holdings (rule, person) WHERE state <> 'ended';
