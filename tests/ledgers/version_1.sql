-- A ledger as pinsync wrote it at schema 1, with something in every table. Made once; never to be changed.
PRAGMA application_id = 1885957747;
PRAGMA user_version = 1;
CREATE TABLE facts (
  name TEXT PRIMARY KEY, value TEXT NOT NULL
  ) WITHOUT ROWID;
CREATE TABLE remotes (
  name TEXT PRIMARY KEY, endpoint TEXT, traits TEXT NOT NULL DEFAULT '{}', traits_at REAL,
  ok INTEGER, error TEXT, complete INTEGER, reason TEXT, listed_at REAL, tried_at REAL,
  failures INTEGER DEFAULT 0, present INTEGER, foreign_pins INTEGER,
  other_marks TEXT NOT NULL DEFAULT '[]', recent TEXT NOT NULL DEFAULT '[]', paused_until REAL,
  closed TEXT, no_deletes TEXT, quiet TEXT, seen TEXT NOT NULL DEFAULT '{}'
  ) WITHOUT ROWID;
CREATE TABLE entries (
  remote TEXT NOT NULL, key BLOB NOT NULL, cid TEXT NOT NULL, wanted INTEGER NOT NULL, state TEXT NOT NULL,
  since REAL, sources TEXT NOT NULL DEFAULT '', unwanted_since REAL, unwanted_why TEXT NOT NULL DEFAULT '',
  requestid TEXT, created INTEGER, was_there TEXT NOT NULL DEFAULT '', missing INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, next_try REAL, error TEXT, follow_at REAL,
  follows INTEGER NOT NULL DEFAULT 0, declined TEXT NOT NULL DEFAULT '', unclear INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (remote, key)
  ) WITHOUT ROWID;
CREATE INDEX entries_by_state ON entries (remote, wanted, state);
CREATE INDEX entries_to_follow ON entries (remote, follow_at) WHERE follow_at IS NOT NULL;
CREATE TABLE owned (
  remote TEXT NOT NULL, key BLOB NOT NULL, requestid TEXT NOT NULL, cid TEXT NOT NULL, how TEXT NOT NULL,
  created INTEGER, since REAL, gone_at REAL,
  PRIMARY KEY (remote, key, requestid)
  ) WITHOUT ROWID;
CREATE TABLE journal (
  id INTEGER PRIMARY KEY, run INTEGER, remote TEXT NOT NULL, kind TEXT NOT NULL, step TEXT NOT NULL,
  key BLOB NOT NULL, cid TEXT NOT NULL, requestid TEXT, body TEXT, at REAL NOT NULL, state TEXT NOT NULL,
  settled_at REAL, outcome TEXT, approved INTEGER NOT NULL DEFAULT 0
  );
CREATE INDEX journal_open ON journal (remote, key) WHERE state IN ('open', 'unclear');
CREATE INDEX journal_by_pin ON journal (key);
CREATE INDEX journal_removals ON journal (remote, settled_at) WHERE kind = 'remove' AND state = 'done';
CREATE TABLE pending (
  remote TEXT NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL, requestid TEXT NOT NULL DEFAULT '',
  cid TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, until REAL,
  step TEXT NOT NULL,
  PRIMARY KEY (remote, kind, key, requestid)
  ) WITHOUT ROWID;
CREATE TABLE approvals (
  remote TEXT NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL, requestid TEXT NOT NULL DEFAULT '',
  cid TEXT NOT NULL, code TEXT NOT NULL, now INTEGER NOT NULL DEFAULT 0, at REAL NOT NULL, by TEXT NOT NULL,
  PRIMARY KEY (remote, kind, key, requestid)
  ) WITHOUT ROWID;
CREATE TABLE doubts (
  code TEXT PRIMARY KEY, reason TEXT NOT NULL, since REAL NOT NULL
  ) WITHOUT ROWID;
CREATE TABLE doubt_approvals (
  code TEXT NOT NULL, remote TEXT NOT NULL DEFAULT '', at REAL NOT NULL, by TEXT NOT NULL,
  PRIMARY KEY (code, remote)
  ) WITHOUT ROWID;
CREATE TABLE sources (
  name TEXT PRIMARY KEY, kind TEXT NOT NULL, ok INTEGER NOT NULL, error TEXT, pins INTEGER, peer_id TEXT,
  version TEXT, read_at REAL, good_at REAL, good_pins INTEGER, good_peer_id TEXT, path TEXT,
  digest TEXT, includes TEXT NOT NULL DEFAULT '{}'
  ) WITHOUT ROWID;
CREATE TABLE manifest (
  row TEXT NOT NULL
  );
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, trigger TEXT NOT NULL, started_at REAL NOT NULL, progress_at REAL NOT NULL,
  finished_at REAL, good INTEGER, exit_code INTEGER, report TEXT
  );
INSERT INTO facts VALUES ('fingerprint of there', '{"manifest.path": "\"/srv/pins/pins.toml\"", "mirror.id": "null", "node kubo: mirror": "true", "node kubo: only_names": "[]", "node kubo: skip_names": "[]", "remote there: mode": "\"mirror\"", "remote there: nodes": "true"}');
INSERT INTO facts VALUES ('mirror_ids', '["web-1-3fa2c1"]');
INSERT INTO remotes VALUES ('there', 'http://there.example/pins', '{"id_is_cid": true, "count_is_total": false, "meta_kept": true, "name_kept": true, "newest_first": null, "lone_delete": null, "update_in_place": null, "page_cap": null, "skew": -0.05224943161010742}', 1.70008640061399936673e+09, 0, 'there: adding a pin failed, its answer broke off or was no HTTP. It is tried again later.', 1, NULL, 1.70008640061399936673e+09, 1.70008640061399936673e+09, 1, 8, 1, '[]', '[]', NULL, NULL, NULL, NULL, '{"count_is_total": 1700086400.2522497, "id_is_cid": 1700086400.1122499, "meta_kept": 1700086400.1122499, "name_kept": 1700086400.1122499}');
INSERT INTO entries VALUES ('there', X'015512204B227777D4DD1FC61C6F884F48641D02B4D121D3FD328CB08B5531FCACDABF8A', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 0, 'pinned', 1700086400.08, 'node:kubo', 1.70008640051224946968e+09, '', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 1700086400080000000, 'ours', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'015512204E07408562BEDB8B60CE05C1DECFE3AD16B72230967DE01F640B7E4729B49FCE', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 0, 'pinned', 1700086400.08, 'node:kubo', 1.70008640051224946968e+09, '', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 1700086400081000000, 'ours', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'015512205E0CF7BD1DFA3831788B0CF6DEDCDD228FBA6F34DC238D371E746567E80BC7B6', 'bafkreic6bt332hp2hayxrcym63pnzxjcr65g6ng4eogtohtumvt6qc6hwy', 1, 'missing', 1.70008640059224939346e+09, 'node:kubo', NULL, '', NULL, NULL, '', 0, 0, NULL, 'there: adding a pin failed, its answer broke off or was no HTTP. It is tried again later.', NULL, 0, '', 1);
INSERT INTO entries VALUES ('there', X'0155122062C66A7A5DD70C3146618063C344E531E6D4B59E379808443CE962B3ABD63C5A', 'bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li', 1, 'pinned', 1700086400.08, 'manifest', NULL, '', 'bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li', 1700086400085000000, 'ours', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'01551220656771905E1EF731F65CD0A0D9FB061238380A1A012E6ABDF846ECC7D2EA36FD', 'bafkreidfm5yzaxq664y7mxgqudm7wbqsha4augqbfzvl36cg5td5f2rw7u', 1, 'pinned', 1700086400.08, 'node:kubo', NULL, '', 'bafkreidfm5yzaxq664y7mxgqudm7wbqsha4augqbfzvl36cg5td5f2rw7u', 1700086399999000000, 'foreign', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'0155122066625D4DC242E87B0B974DCB194C75143097A454BEC74CA469F77D26D06BFF77', 'bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4', 1, 'queued', 1.70008640059224939346e+09, 'node:kubo', NULL, '', 'bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4', 1700086400594000000, 'ours', 0, 0, NULL, NULL, 1.70008640561399936678e+09, 0, '', 0);
INSERT INTO entries VALUES ('there', X'015512206B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 1, 'failed', 1700086400.08, 'node:kubo', NULL, '', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 1700086400087000000, 'ours', 0, 1, 1.7000864604322495461e+09, 'no providers', NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'0155122083C874D33E8BFF73CAAA762C79CD1ED101D727C7F20FE4972C67E67978292F23', 'bafkreiedzb2ngpul75z4vktwfr442hwrahlspr7sb7sjoldh4z4xqkjpem', 1, 'refused', 1.7000864003322496414e+09, 'node:kubo', NULL, '', NULL, NULL, '', 0, 1, 1.70008730035224962231e+09, 'there: adding a pin was refused (HTTP 400: ERROR_400: something went wrong on purpose). The request has to change to be taken.', NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'01551220ACAC86C0E609CA906F632B0E2DACCCB2B77D22B0621F20EBECE1A4835B93F6F0', 'bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a', 1, 'pinned', 1700086400.08, 'manifest', NULL, '', 'bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a', 1700086400088000000, 'ours', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'01551220D4735E3A265E16EEE03F59718B9B5D03019C07D8B6C51F90DA3A666EEC13AB35', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 0, 'pinned', 1700086400.08, 'node:kubo', 1.70008640051224946968e+09, '', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 1700086400090000000, 'ours', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO entries VALUES ('there', X'01551220EF2D127DE37B942BAAD06145E54B0C619A1F22327B2EBBCFBEC78F5564AFE39D', 'bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu', 1, 'pinned', 1700086400.08, 'node:kubo', NULL, '', 'bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu', 1700086400092000000, 'ours', 0, 0, NULL, NULL, NULL, 0, '', 0);
INSERT INTO owned VALUES ('there', X'015512204B227777D4DD1FC61C6F884F48641D02B4D121D3FD328CB08B5531FCACDABF8A', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'created', 1700086400080000000, 1.70008640011224985118e+09, NULL);
INSERT INTO owned VALUES ('there', X'015512204E07408562BEDB8B60CE05C1DECFE3AD16B72230967DE01F640B7E4729B49FCE', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'created', 1700086400081000000, 1.70008640011224985118e+09, NULL);
INSERT INTO owned VALUES ('there', X'015512205FECEB66FFC86F38D952786C6D696C79C2DBC239DD4E91B46729D73A27FB57E9', 'bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e', 'bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e', 'created', 1700086400083000000, 1.70008640011224985118e+09, 1.70008640025224971774e+09);
INSERT INTO owned VALUES ('there', X'0155122062C66A7A5DD70C3146618063C344E531E6D4B59E379808443CE962B3ABD63C5A', 'bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li', 'bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li', 'created', 1700086400085000000, 1.70008640011224985118e+09, NULL);
INSERT INTO owned VALUES ('there', X'0155122066625D4DC242E87B0B974DCB194C75143097A454BEC74CA469F77D26D06BFF77', 'bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4', 'bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4', 'created', 1700086400594000000, 1.70008640061399936673e+09, NULL);
INSERT INTO owned VALUES ('there', X'015512206B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 'created', 1700086400087000000, 1.70008640011224985118e+09, NULL);
INSERT INTO owned VALUES ('there', X'01551220ACAC86C0E609CA906F632B0E2DACCCB2B77D22B0621F20EBECE1A4835B93F6F0', 'bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a', 'bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a', 'created', 1700086400088000000, 1.70008640011224985118e+09, NULL);
INSERT INTO owned VALUES ('there', X'01551220D4735E3A265E16EEE03F59718B9B5D03019C07D8B6C51F90DA3A666EEC13AB35', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'created', 1700086400090000000, 1.70008640011224985118e+09, NULL);
INSERT INTO owned VALUES ('there', X'01551220EF2D127DE37B942BAAD06145E54B0C619A1F22327B2EBBCFBEC78F5564AFE39D', 'bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu', 'bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu', 'created', 1700086400092000000, 1.70008640011224985118e+09, NULL);
INSERT INTO journal VALUES (1, 1, 'there', 'add', 'post', X'015512204B227777D4DD1FC61C6F884F48641D02B4D121D3FD328CB08B5531FCACDABF8A', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', '["bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri", "site", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (2, 1, 'there', 'add', 'post', X'015512204E07408562BEDB8B60CE05C1DECFE3AD16B72230967DE01F640B7E4729B49FCE', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', '["bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy", "site", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (3, 1, 'there', 'add', 'post', X'015512205FECEB66FFC86F38D952786C6D696C79C2DBC239DD4E91B46729D73A27FB57E9', 'bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e', 'bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e', '["bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e", "site", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (4, 1, 'there', 'add', 'post', X'0155122062C66A7A5DD70C3146618063C344E531E6D4B59E379808443CE962B3ABD63C5A', 'bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li', 'bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li', '["bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li", "docs", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (5, 1, 'there', 'add', 'post', X'015512206B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', '["bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm", "site", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (6, 1, 'there', 'add', 'post', X'01551220ACAC86C0E609CA906F632B0E2DACCCB2B77D22B0621F20EBECE1A4835B93F6F0', 'bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a', 'bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a', '["bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a", null, {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (7, 1, 'there', 'add', 'post', X'01551220D4735E3A265E16EEE03F59718B9B5D03019C07D8B6C51F90DA3A666EEC13AB35', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', '["bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu", "site", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (8, 1, 'there', 'add', 'post', X'01551220EF2D127DE37B942BAAD06145E54B0C619A1F22327B2EBBCFBEC78F5564AFE39D', 'bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu', 'bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu', '["bafkreihpfujh3y33sqv2vudbixsuwddbtipsemt3f2547pwhr5kwjl7dtu", "site", {"pinsync": "web-1-3fa2c1"}, []]', 1700086400.08, 'done', 1.70008640011224985118e+09, 'pinned', 0);
INSERT INTO journal VALUES (9, 2, 'there', 'remove', 'delete', X'015512205FECEB66FFC86F38D952786C6D696C79C2DBC239DD4E91B46729D73A27FB57E9', 'bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e', 'bafkreic75tvwn76in44nsutynrwws3dzyln4eoo5j2i3izzj245cp62x5e', NULL, 1.70008640021224975581e+09, 'done', 1.70008640025224971774e+09, 'deleted', 0);
INSERT INTO journal VALUES (10, 3, 'there', 'add', 'post', X'0155122083C874D33E8BFF73CAAA762C79CD1ED101D727C7F20FE4972C67E67978292F23', 'bafkreiedzb2ngpul75z4vktwfr442hwrahlspr7sb7sjoldh4z4xqkjpem', NULL, '["bafkreiedzb2ngpul75z4vktwfr442hwrahlspr7sb7sjoldh4z4xqkjpem", null, {"pinsync": "web-1-3fa2c1"}, []]', 1.7000864003322496414e+09, 'failed', 1.70008640035224962237e+09, 'there: adding a pin was refused (HTTP 400: ERROR_400: something went wrong on purpose). The request has to change to be taken.', 0);
INSERT INTO journal VALUES (11, 6, 'there', 'add', 'post', X'015512205E0CF7BD1DFA3831788B0CF6DEDCDD228FBA6F34DC238D371E746567E80BC7B6', 'bafkreic6bt332hp2hayxrcym63pnzxjcr65g6ng4eogtohtumvt6qc6hwy', NULL, '["bafkreic6bt332hp2hayxrcym63pnzxjcr65g6ng4eogtohtumvt6qc6hwy", null, {"pinsync": "web-1-3fa2c1"}, []]', 1.70008640059224939346e+09, 'unclear', 1.70008640061399936673e+09, 'there: adding a pin failed, its answer broke off or was no HTTP. It is tried again later.', 0);
INSERT INTO journal VALUES (12, 6, 'there', 'add', 'post', X'0155122066625D4DC242E87B0B974DCB194C75143097A454BEC74CA469F77D26D06BFF77', 'bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4', 'bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4', '["bafkreidgmjou3qsc5b5qxf2nzmmuy5iugcl2ivf6y5gki2pxputna277o4", null, {"pinsync": "web-1-3fa2c1"}, []]', 1.70008640059224939346e+09, 'done', 1.70008640061399936673e+09, 'queued', 0);
INSERT INTO journal VALUES (13, 9, 'there', 'add', 'post', X'015512202348F998744212575D85959674F9607AB26F67708A917157472832386337C904', 'bafkreibdjd4zq5cccjlv3bmvsz2psyd2wjxwo4eksfyvorzigi4ggn6jaq', NULL, NULL, 1.70008640061399936673e+09, 'open', NULL, NULL, 0);
INSERT INTO pending VALUES ('there', 'add', X'0155122083C874D33E8BFF73CAAA762C79CD1ED101D727C7F20FE4972C67E67978292F23', '', 'bafkreiedzb2ngpul75z4vktwfr442hwrahlspr7sb7sjoldh4z4xqkjpem', 'waiting', 'refused', 'the remote refused it: there: adding a pin was refused (HTTP 400: ERROR_400: something went wrong on purpose). The request has to change to be taken.', 1.70008730035224962231e+09, 'post');
INSERT INTO pending VALUES ('there', 'remove', X'015512204B227777D4DD1FC61C6F884F48641D02B4D121D3FD328CB08B5531FCACDABF8A', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'held', 'peer:kubo:12D3KooWOther', 'node ''kubo'' is another node than before (12D3KooWOther instead of 12D3KooWMadeNode)', NULL, 'delete');
INSERT INTO pending VALUES ('there', 'remove', X'015512204E07408562BEDB8B60CE05C1DECFE3AD16B72230967DE01F640B7E4729B49FCE', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'held', 'peer:kubo:12D3KooWOther', 'node ''kubo'' is another node than before (12D3KooWOther instead of 12D3KooWMadeNode)', NULL, 'delete');
INSERT INTO pending VALUES ('there', 'remove', X'01551220D4735E3A265E16EEE03F59718B9B5D03019C07D8B6C51F90DA3A666EEC13AB35', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'held', 'peer:kubo:12D3KooWOther', 'node ''kubo'' is another node than before (12D3KooWOther instead of 12D3KooWMadeNode)', NULL, 'delete');
INSERT INTO pending VALUES ('there', 'retry', X'015512206B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 'bafkreidlq2zhh7zu7tqz224aj37vup2xi6w2j2vcf4outqa6klo3pb23jm', 'waiting', 'backoff', 'the remote says failed: no providers', 1.7000864604322495461e+09, 'post');
INSERT INTO approvals VALUES ('there', 'remove', X'015512204B227777D4DD1FC61C6F884F48641D02B4D121D3FD328CB08B5531FCACDABF8A', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'bafkreiclej3xpvg5d7dby34ij5egihicwtisdu75gkglbc2vgh6kzwv7ri', 'limit', 0, 1.70008640051224946968e+09, 'me');
INSERT INTO approvals VALUES ('there', 'remove', X'015512204E07408562BEDB8B60CE05C1DECFE3AD16B72230967DE01F640B7E4729B49FCE', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'bafkreicoa5aikyv63ofwbtqfyhpm7y5nc23semewpxqb6zalpzdstne7zy', 'limit', 0, 1.70008640051224946968e+09, 'me');
INSERT INTO approvals VALUES ('there', 'remove', X'01551220D4735E3A265E16EEE03F59718B9B5D03019C07D8B6C51F90DA3A666EEC13AB35', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'bafkreiguonpdujs6c3xoap2zogfzwxidagoapwfwyupzbwr2mzxoye5lgu', 'limit', 0, 1.70008640051224946968e+09, 'me');
INSERT INTO doubts VALUES ('peer:kubo:12D3KooWOther', 'node ''kubo'' is another node than before (12D3KooWOther instead of 12D3KooWMadeNode)', 1.70008640061399936673e+09);
INSERT INTO doubt_approvals VALUES ('peer:kubo:12D3KooWOther', 'there', 1.70008640061399936673e+09, 'ada');
INSERT INTO sources VALUES ('manifest', 'manifest', 1, NULL, 2, NULL, NULL, 1.70008640061399936673e+09, 1.70008640061399936673e+09, 2, NULL, '/srv/pins/pins.toml', '614672541aa8b183e575b15a9b194063ae3e0b8ef4d0894b62989a94c90b7cdc', '{"/srv/pins/pins.toml: *.txt": [1, 1]}');
INSERT INTO sources VALUES ('node:kubo', 'node', 1, NULL, 6, '12D3KooWOther', '0.42.0', 1.70008640061399936673e+09, 1.70008640051224946968e+09, 4, '12D3KooWMadeNode', NULL, NULL, '{}');
INSERT INTO manifest VALUES ('["digest", "614672541aa8b183e575b15a9b194063ae3e0b8ef4d0894b62989a94c90b7cdc", null, null, null, null, ""]');
INSERT INTO manifest VALUES ('["file", "/srv/pins", null, null, null, null, ""]');
INSERT INTO manifest VALUES ('["file", "/srv/pins/list.txt", null, null, null, null, ""]');
INSERT INTO manifest VALUES ('["file", "/srv/pins/pins.toml", null, null, null, null, ""]');
INSERT INTO manifest VALUES ('["include", "/srv/pins/pins.toml: *.txt", "[1,1]", null, null, null, ""]');
INSERT INTO manifest VALUES ('["pin", "bafkreidcyzvhuxoxbqyumymampbujzjr43kllhrxtaeeiphjmkz2xvr4li", "docs", null, null, null, "/srv/pins/pins.toml:2"]');
INSERT INTO manifest VALUES ('["pin", "bafkreifmvsdmbzqjzkig6yzlbyw2ztfsw56sfmdcd4qox3hbusbvxe7w6a", null, null, null, null, "/srv/pins/list.txt:1"]');
INSERT INTO runs VALUES (1, 'test', 1700086400.0, 1.70008640011224985118e+09, 1.70008640011224985118e+09, 1, 0, '{"format": 1, "remotes": [{"name": "there", "complete": true, "added": 8, "updated": 0, "removed": 0, "retried": 0, "refused": 0, "waiting": 0, "held": 0, "requests": 12, "seconds": 0.112}], "errors": []}');
INSERT INTO runs VALUES (2, 'test', 1.70008640011224985118e+09, 1.70008640025224971774e+09, 1.70008640025224971774e+09, 1, 0, '{"format": 1, "remotes": [{"name": "there", "complete": true, "added": 0, "updated": 0, "removed": 1, "retried": 0, "refused": 0, "waiting": 0, "held": 0, "requests": 7, "seconds": 0.14}], "errors": []}');
INSERT INTO runs VALUES (3, 'test', 1.70008640025224971774e+09, 1.70008640035224962237e+09, 1.70008640035224962237e+09, 0, 1, '{"format": 1, "remotes": [{"name": "there", "complete": true, "added": 0, "updated": 0, "removed": 0, "retried": 0, "refused": 1, "waiting": 0, "held": 0, "requests": 5, "seconds": 0.1}], "errors": [{"where": "remote there", "message": "there: adding a pin was refused (HTTP 400: ERROR_400: something went wrong on purpose). The request has to change to be taken."}]}');
INSERT INTO runs VALUES (4, 'test', 1.70008640035224962237e+09, 1.70008640043224954602e+09, 1.70008640043224954602e+09, 1, 1, '{"format": 1, "remotes": [{"name": "there", "complete": true, "added": 0, "updated": 0, "removed": 0, "retried": 0, "refused": 0, "waiting": 2, "held": 0, "requests": 4, "seconds": 0.08}], "errors": []}');
INSERT INTO runs VALUES (5, 'test', 1.70008640043224954602e+09, 1.70008640051224946968e+09, 1.70008640051224946968e+09, 1, 1, '{"format": 1, "remotes": [{"name": "there", "complete": true, "added": 0, "updated": 0, "removed": 0, "retried": 0, "refused": 0, "waiting": 2, "held": 3, "requests": 4, "seconds": 0.08}], "errors": []}');
INSERT INTO runs VALUES (6, 'test', 1.70008640051224946968e+09, 1.70008640061399936673e+09, 1.70008640061399936673e+09, 0, 1, '{"format": 1, "remotes": [{"name": "there", "complete": true, "added": 1, "updated": 0, "removed": 0, "retried": 0, "refused": 0, "waiting": 2, "held": 3, "requests": 6, "seconds": 0.102}], "errors": [{"where": "remote there", "message": "there: adding a pin failed, its answer broke off or was no HTTP. It is tried again later."}]}');
