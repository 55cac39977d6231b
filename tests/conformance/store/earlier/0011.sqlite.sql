BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0011');
CREATE TABLE changes (
	job VARCHAR(40) NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	step INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (job, number), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "changes" VALUES('job_000000000000000000000000',1,'queued',0,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000001',1,'queued',0,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000002',1,'queued',0,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000003',1,'queued',0,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000000',2,'running',0,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000001',2,'running',0,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000000',3,'succeeded',30,'2026-01-02 03:04:05.000000');
INSERT INTO "changes" VALUES('job_000000000000000000000003',2,'cancelled',0,'2026-01-02 03:04:05.000000');
CREATE TABLE checkpoints (
	job VARCHAR(40) NOT NULL, 
	step INTEGER NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	created_at DATETIME NOT NULL, cost_s FLOAT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (job, step), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "checkpoints" VALUES('job_000000000000000000000001',10,'k','2026-01-02 03:04:05.000000',1.5);
CREATE TABLE deliveries (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	webhook VARCHAR(40) NOT NULL, 
	job VARCHAR(40) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at DATETIME, 
	delivered_at DATETIME, 
	status INTEGER, 
	failure VARCHAR(200), 
	FOREIGN KEY(webhook) REFERENCES webhooks (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES(1,'wh_1','job_000000000000000000000000','succeeded',0,'2026-01-02 03:04:05.000000',NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(2,'wh_1','job_000000000000000000000003','cancelled',0,'2026-01-02 03:04:05.000000',NULL,NULL,NULL);
CREATE TABLE flows (
	lane VARCHAR(8) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	waits_in VARCHAR(8), 
	is_at_burst BOOLEAN NOT NULL, 
	start_tag FLOAT NOT NULL, 
	backlogged_at DATETIME NOT NULL, 
	usage_at DATETIME NOT NULL, 
	usage_s FLOAT NOT NULL, 
	num_queued INTEGER NOT NULL, 
	num_running INTEGER NOT NULL, 
	PRIMARY KEY (lane, tenant)
);
INSERT INTO "flows" VALUES('free','ada','free',0,0.24576,'2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000',2.0,1,1);
CREATE TABLE images (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job VARCHAR(40) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	png VARCHAR(64) NOT NULL, 
	webp VARCHAR(64) NOT NULL, 
	seed BIGINT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "images" VALUES(1,'job_000000000000000000000000','ada',0,'abababababababababababababababababababababababababababababababab','babababababababababababababababababababababababababababababababa',4294967295,64,64,'2026-01-02 03:04:05.000000');
CREATE TABLE "jobs" (
	seq INTEGER NOT NULL, 
	id VARCHAR(40) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	tier VARCHAR(8) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	raw_prompt TEXT NOT NULL, 
	parameters JSON NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	cost FLOAT NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	step INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	lease_worker VARCHAR(64), 
	lease_token INTEGER NOT NULL, 
	lease_expires_at DATETIME, 
	error JSON, 
	timings JSON NOT NULL, 
	batch VARCHAR(40), 
	lane VARCHAR(8) NOT NULL, 
	waits_in VARCHAR(8), 
	due_at DATETIME, 
	avoid_worker VARCHAR(64), 
	avoid_until DATETIME, 
	charge JSON, 
	cost_s FLOAT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "jobs" VALUES(1,'job_000000000000000000000000','ada','free','succeeded','a red apple --seed 7','{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}','mezzotint-starter',0.12288,'2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000',30,1,NULL,1,NULL,'null','{"queue_s":0.5,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}',NULL,'free',NULL,NULL,NULL,NULL,'{"share":"free","cost":0.12288,"to_share":0.12288,"to_flow":0.12288}',2.0);
INSERT INTO "jobs" VALUES(2,'job_000000000000000000000001','ada','free','running','a red apple --seed 7','{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}','mezzotint-starter',0.12288,'2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000',NULL,0,0,'w1',1,'2026-01-02 03:04:35.000000',NULL,'{"queue_s":null,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}',NULL,'free',NULL,NULL,NULL,NULL,'{"share":"free","cost":0.12288,"to_share":0.12288,"to_flow":0.12288}',1.5);
INSERT INTO "jobs" VALUES(3,'job_000000000000000000000002','ada','free','queued','a red apple --seed 7','{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}','mezzotint-starter',0.12288,'2026-01-02 03:04:05.000000',NULL,NULL,0,0,NULL,0,NULL,NULL,'{"queue_s":null,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}',NULL,'free','free',NULL,NULL,NULL,NULL,0.0);
INSERT INTO "jobs" VALUES(4,'job_000000000000000000000003','ada','free','cancelled','a red apple --seed 7','{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}','mezzotint-starter',0.12288,'2026-01-02 03:04:05.000000',NULL,'2026-01-02 03:04:05.000000',0,0,NULL,0,NULL,NULL,'{"queue_s":null,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}',NULL,'free',NULL,NULL,NULL,NULL,'null',0.0);
CREATE TABLE keys (
	id VARCHAR(40) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	prefix VARCHAR(20) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	scopes VARCHAR(40) NOT NULL, 
	old_prefix VARCHAR(20), 
	old_digest VARCHAR(64), 
	old_until DATETIME, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	revoked_at DATETIME, 
	last_used_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(tenant) REFERENCES tenants (id), 
	UNIQUE (prefix), 
	UNIQUE (old_prefix)
);
INSERT INTO "keys" VALUES('key_a2e91e786bc05537','ada','laptop','mz_baa002c9c877','5113f79f1e79c503b5b7a1dec873416645308aabbaad4b72ae553e7d794e63a2','admin read write',NULL,NULL,NULL,'2026-01-02 03:04:05.000000',NULL,NULL,NULL);
CREATE TABLE ledger (
	job VARCHAR(40) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	month VARCHAR(7) NOT NULL, 
	lane VARCHAR(8) NOT NULL, 
	kind VARCHAR(8) NOT NULL, 
	gpu_s FLOAT NOT NULL, 
	steps INTEGER NOT NULL, 
	worker VARCHAR(64), 
	at DATETIME NOT NULL, 
	PRIMARY KEY (job), 
	FOREIGN KEY(job) REFERENCES jobs (id)
);
INSERT INTO "ledger" VALUES('job_000000000000000000000000','ada','2026-01','free','charged',2.0,30,'w1','2026-01-02 03:04:05.000000');
CREATE TABLE previews (
	job VARCHAR(40) NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (job)
);
CREATE TABLE refusals (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tenant VARCHAR(64) NOT NULL, 
	code VARCHAR(40) NOT NULL, 
	message TEXT NOT NULL, 
	raw_prompt TEXT NOT NULL, 
	created_at DATETIME NOT NULL
);
CREATE TABLE sessions (
	digest VARCHAR(64) NOT NULL, 
	user VARCHAR(40) NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(user) REFERENCES users (id)
);
CREATE TABLE shares (
	share VARCHAR(16) NOT NULL, 
	start_tag FLOAT NOT NULL, 
	virtual_time FLOAT NOT NULL, 
	is_idle BOOLEAN NOT NULL, 
	weight FLOAT, 
	pace_s FLOAT, base FLOAT, 
	PRIMARY KEY (share)
);
INSERT INTO "shares" VALUES('free',0.24576,0.12288,0,NULL,NULL,NULL);
INSERT INTO "shares" VALUES('paid',0.0,0.0,1,NULL,NULL,NULL);
INSERT INTO "shares" VALUES('pro',0.0,0.0,1,NULL,NULL,NULL);
INSERT INTO "shares" VALUES('promoted',0.0,0.0,1,NULL,NULL,NULL);
INSERT INTO "shares" VALUES('overdue_paid',0.0,0.0,1,NULL,NULL,NULL);
INSERT INTO "shares" VALUES('overdue_pro',0.0,0.0,1,NULL,NULL,NULL);
INSERT INTO "shares" VALUES('root',0.0,0.12288,0,NULL,1.62760416666666678513e+01,NULL);
CREATE TABLE submissions (
	tenant VARCHAR(64) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	body VARCHAR(64) NOT NULL, 
	jobs JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	PRIMARY KEY (tenant, name)
);
INSERT INTO "submissions" VALUES('ada','once-0','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["job_000000000000000000000000"]','2026-01-02 03:04:05.000000','2026-01-03 03:04:05.000000');
CREATE TABLE tenants (
	id VARCHAR(64) NOT NULL, 
	tier VARCHAR(8) NOT NULL, 
	created_at DATETIME NOT NULL, 
	disabled_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "tenants" VALUES('ada','pro','2026-01-02 03:04:05.000000',NULL);
CREATE TABLE uploads (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tenant VARCHAR(64) NOT NULL, 
	content VARCHAR(64) NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	used_at DATETIME NOT NULL
, is_kept BOOLEAN DEFAULT 1 NOT NULL);
INSERT INTO "uploads" VALUES(1,'ada','abababababababababababababababababababababababababababababababab',64,64,'2026-01-02 03:04:05.000000',1);
CREATE TABLE users (
	id VARCHAR(40) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	name VARCHAR(254) NOT NULL, 
	role VARCHAR(8) NOT NULL, 
	password VARCHAR(200) NOT NULL, 
	created_at DATETIME NOT NULL, 
	disabled_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(tenant) REFERENCES tenants (id), 
	UNIQUE (name)
);
INSERT INTO "users" VALUES('user_1','ada','ada@example.org','admin','$argon2id$v=19$m=65536,t=3,p=4$FhaP0vhqRlilP5M4GxByOw$+8ppa8moQmYv7QwgbNjGib+ZY4cYYSCJn9qFeSLPwgI','2026-01-02 03:04:05.000000',NULL);
CREATE TABLE webhooks (
	id VARCHAR(40) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	url VARCHAR(2000) NOT NULL, 
	created_at DATETIME NOT NULL, 
	disabled_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "webhooks" VALUES('wh_1','ada','https://hooks.example/x','2026-01-02 03:04:05.000000',NULL);
CREATE TABLE workers (
	id VARCHAR(64) NOT NULL, 
	seen_at DATETIME, 
	is_drained BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX images_of_job ON images (job, position);
CREATE INDEX images_of_tenant ON images (tenant, seq);
CREATE INDEX images_png ON images (png);
CREATE INDEX images_webp ON images (webp);
CREATE INDEX users_of_tenant ON users (tenant);
CREATE INDEX sessions_of_user ON sessions (user);
CREATE INDEX keys_of_tenant ON keys (tenant);
CREATE INDEX submissions_over ON submissions (expires_at);
CREATE INDEX changes_at ON changes (at);
CREATE INDEX webhooks_of_tenant ON webhooks (tenant);
CREATE INDEX deliveries_due ON deliveries (next_at);
CREATE INDEX deliveries_of_webhook ON deliveries (webhook, seq);
CREATE INDEX uploads_by_use ON uploads (used_at);
CREATE UNIQUE INDEX uploads_of_tenant ON uploads (tenant, content);
CREATE INDEX jobs_of_tenant ON jobs (tenant, seq);
CREATE INDEX jobs_open_of_tenant ON jobs (tenant, state);
CREATE INDEX jobs_in_state ON jobs (state, finished_at);
CREATE INDEX flows_next ON flows (waits_in, is_at_burst, start_tag, backlogged_at);
CREATE INDEX ledger_of_tenant ON ledger (tenant, month);
CREATE INDEX jobs_of_batch ON jobs (batch, seq) WHERE batch IS NOT NULL;
CREATE INDEX jobs_waiting ON jobs (waits_in, seq) WHERE waits_in IS NOT NULL;
CREATE INDEX jobs_waiting_of_tenant ON jobs (waits_in, tenant, seq) WHERE waits_in IS NOT NULL;
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_started ON jobs (started_at) WHERE started_at IS NOT NULL;
CREATE INDEX jobs_leases ON jobs (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('uploads',1);
INSERT INTO "sqlite_sequence" VALUES('images',1);
INSERT INTO "sqlite_sequence" VALUES('deliveries',2);
COMMIT;
