CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.changes (
    job character varying(40) NOT NULL,
    number integer NOT NULL,
    state character varying(12) NOT NULL,
    step integer NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE TABLE public.checkpoints (
    job character varying(40) NOT NULL,
    step integer NOT NULL,
    key character varying(200) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    cost_s double precision DEFAULT '0'::double precision NOT NULL
);
CREATE TABLE public.deliveries (
    seq bigint NOT NULL,
    webhook character varying(40) NOT NULL,
    job character varying(40) NOT NULL,
    state character varying(12) NOT NULL,
    attempts integer NOT NULL,
    next_at timestamp with time zone,
    delivered_at timestamp with time zone,
    status integer,
    failure character varying(200)
);
CREATE SEQUENCE public.deliveries_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.deliveries_seq_seq OWNED BY public.deliveries.seq;
CREATE TABLE public.flows (
    lane character varying(8) NOT NULL,
    tenant character varying(64) NOT NULL,
    waits_in character varying(8),
    is_at_burst boolean NOT NULL,
    start_tag double precision NOT NULL,
    backlogged_at timestamp with time zone NOT NULL,
    usage_at timestamp with time zone NOT NULL,
    usage_s double precision NOT NULL,
    num_queued integer NOT NULL,
    num_running integer NOT NULL
);
CREATE TABLE public.images (
    seq bigint NOT NULL,
    job character varying(40) NOT NULL,
    tenant character varying(64) NOT NULL,
    "position" integer NOT NULL,
    png character varying(64) NOT NULL,
    webp character varying(64) NOT NULL,
    seed bigint NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.images_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.images_seq_seq OWNED BY public.images.seq;
CREATE TABLE public.jobs (
    seq bigint NOT NULL,
    id character varying(40) NOT NULL,
    tenant character varying(64) NOT NULL,
    tier character varying(8) NOT NULL,
    state character varying(12) NOT NULL,
    raw_prompt text NOT NULL,
    parameters json NOT NULL,
    model character varying(200) NOT NULL,
    cost double precision NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    step integer NOT NULL,
    attempts integer NOT NULL,
    lease_worker character varying(64),
    lease_token integer NOT NULL,
    lease_expires_at timestamp with time zone,
    error json,
    timings json NOT NULL,
    batch character varying(40),
    lane character varying(8) NOT NULL,
    waits_in character varying(8),
    due_at timestamp with time zone,
    avoid_worker character varying(64),
    avoid_until timestamp with time zone,
    charge json,
    cost_s double precision DEFAULT '0'::double precision NOT NULL
);
CREATE SEQUENCE public.jobs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.jobs_seq_seq OWNED BY public.jobs.seq;
CREATE TABLE public.keys (
    id character varying(40) NOT NULL,
    tenant character varying(64) NOT NULL,
    name character varying(80) NOT NULL,
    prefix character varying(20) NOT NULL,
    digest character varying(64) NOT NULL,
    scopes character varying(40) NOT NULL,
    old_prefix character varying(20),
    old_digest character varying(64),
    old_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone
);
CREATE TABLE public.ledger (
    job character varying(40) NOT NULL,
    tenant character varying(64) NOT NULL,
    month character varying(7) NOT NULL,
    lane character varying(8) NOT NULL,
    kind character varying(8) NOT NULL,
    gpu_s double precision NOT NULL,
    steps integer NOT NULL,
    worker character varying(64),
    at timestamp with time zone NOT NULL
);
CREATE TABLE public.previews (
    job character varying(40) NOT NULL,
    data text NOT NULL
);
CREATE TABLE public.refusals (
    seq bigint NOT NULL,
    tenant character varying(64) NOT NULL,
    code character varying(40) NOT NULL,
    message text NOT NULL,
    raw_prompt text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.refusals_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.refusals_seq_seq OWNED BY public.refusals.seq;
CREATE TABLE public.sessions (
    digest character varying(64) NOT NULL,
    "user" character varying(40) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.shares (
    share character varying(16) NOT NULL,
    start_tag double precision NOT NULL,
    virtual_time double precision NOT NULL,
    is_idle boolean NOT NULL,
    weight double precision,
    pace_s double precision,
    base double precision
);
CREATE TABLE public.submissions (
    tenant character varying(64) NOT NULL,
    name character varying(80) NOT NULL,
    body character varying(64) NOT NULL,
    jobs json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.tenants (
    id character varying(64) NOT NULL,
    tier character varying(8) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone
);
CREATE TABLE public.uploads (
    seq integer NOT NULL,
    tenant character varying(64) NOT NULL,
    content character varying(64) NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    used_at timestamp with time zone NOT NULL,
    is_kept boolean DEFAULT true NOT NULL
);
CREATE SEQUENCE public.uploads_seq_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.uploads_seq_seq OWNED BY public.uploads.seq;
CREATE TABLE public.users (
    id character varying(40) NOT NULL,
    tenant character varying(64) NOT NULL,
    name character varying(254) NOT NULL,
    role character varying(8) NOT NULL,
    password character varying(200) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone
);
CREATE TABLE public.webhooks (
    id character varying(40) NOT NULL,
    tenant character varying(64) NOT NULL,
    url character varying(2000) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone
);
CREATE TABLE public.workers (
    id character varying(64) NOT NULL,
    seen_at timestamp with time zone,
    is_drained boolean NOT NULL
);
ALTER TABLE ONLY public.deliveries ALTER COLUMN seq SET DEFAULT nextval('public.deliveries_seq_seq'::regclass);
ALTER TABLE ONLY public.images ALTER COLUMN seq SET DEFAULT nextval('public.images_seq_seq'::regclass);
ALTER TABLE ONLY public.jobs ALTER COLUMN seq SET DEFAULT nextval('public.jobs_seq_seq'::regclass);
ALTER TABLE ONLY public.refusals ALTER COLUMN seq SET DEFAULT nextval('public.refusals_seq_seq'::regclass);
ALTER TABLE ONLY public.uploads ALTER COLUMN seq SET DEFAULT nextval('public.uploads_seq_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0011');
INSERT INTO public.changes VALUES ('job_000000000000000000000000', 1, 'queued', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000001', 1, 'queued', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000002', 1, 'queued', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000003', 1, 'queued', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000000', 2, 'running', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000001', 2, 'running', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000000', 3, 'succeeded', 30, '2026-01-02 03:04:05+00');
INSERT INTO public.changes VALUES ('job_000000000000000000000003', 2, 'cancelled', 0, '2026-01-02 03:04:05+00');
INSERT INTO public.checkpoints VALUES ('job_000000000000000000000001', 10, 'k', '2026-01-02 03:04:05+00', 1.5);
INSERT INTO public.deliveries VALUES (1, 'wh_1', 'job_000000000000000000000000', 'succeeded', 0, '2026-01-02 03:04:05+00', NULL, NULL, NULL);
INSERT INTO public.deliveries VALUES (2, 'wh_1', 'job_000000000000000000000003', 'cancelled', 0, '2026-01-02 03:04:05+00', NULL, NULL, NULL);
INSERT INTO public.flows VALUES ('free', 'ada', 'free', false, 0.24576, '2026-01-02 03:04:05+00', '2026-01-02 03:04:05+00', 2, 1, 1);
INSERT INTO public.images VALUES (1, 'job_000000000000000000000000', 'ada', 0, 'abababababababababababababababababababababababababababababababab', 'babababababababababababababababababababababababababababababababa', 4294967295, 64, 64, '2026-01-02 03:04:05+00');
INSERT INTO public.jobs VALUES (3, 'job_000000000000000000000002', 'ada', 'free', 'queued', 'a red apple --seed 7', '{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}', 'mezzotint-starter', 0.12288, '2026-01-02 03:04:05+00', NULL, NULL, 0, 0, NULL, 0, NULL, NULL, '{"queue_s":null,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}', NULL, 'free', 'free', NULL, NULL, NULL, NULL, 0);
INSERT INTO public.jobs VALUES (2, 'job_000000000000000000000001', 'ada', 'free', 'running', 'a red apple --seed 7', '{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}', 'mezzotint-starter', 0.12288, '2026-01-02 03:04:05+00', '2026-01-02 03:04:05+00', NULL, 0, 0, 'w1', 1, '2026-01-02 03:04:35+00', NULL, '{"queue_s":null,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}', NULL, 'free', NULL, NULL, NULL, NULL, '{"share":"free","cost":0.12288,"to_share":0.12288,"to_flow":0.12288}', 1.5);
INSERT INTO public.jobs VALUES (1, 'job_000000000000000000000000', 'ada', 'free', 'succeeded', 'a red apple --seed 7', '{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}', 'mezzotint-starter', 0.12288, '2026-01-02 03:04:05+00', '2026-01-02 03:04:05+00', '2026-01-02 03:04:05+00', 30, 1, NULL, 1, NULL, 'null', '{"queue_s":0.5,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}', NULL, 'free', NULL, NULL, NULL, NULL, '{"share":"free","cost":0.12288,"to_share":0.12288,"to_flow":0.12288}', 2);
INSERT INTO public.jobs VALUES (4, 'job_000000000000000000000003', 'ada', 'free', 'cancelled', 'a red apple --seed 7', '{"prompt":"a red apple","negative_prompt":"","seed":7,"num_steps":30,"guidance_scale":3.5,"width":64,"height":64,"task":"generate","source":null,"mask":null,"strength":null,"scale":null,"left":null,"top":null,"source_width":null,"source_height":null,"sampler":null,"stop":null}', 'mezzotint-starter', 0.12288, '2026-01-02 03:04:05+00', NULL, '2026-01-02 03:04:05+00', 0, 0, NULL, 0, NULL, NULL, '{"queue_s":null,"load_s":null,"denoise_s":null,"decode_s":null,"filter_s":null,"upload_s":null}', NULL, 'free', NULL, NULL, NULL, NULL, 'null', 0);
INSERT INTO public.keys VALUES ('key_0ea0a7e410919e8a', 'ada', 'laptop', 'mz_4c0ef5807c8b', '1ee6acfa0a10e554f518214fbc3832ce72f03392a9c9c61761e52a5101fce6a8', 'admin read write', NULL, NULL, NULL, '2026-01-02 03:04:05+00', NULL, NULL, NULL);
INSERT INTO public.ledger VALUES ('job_000000000000000000000000', 'ada', '2026-01', 'free', 'charged', 2, 30, 'w1', '2026-01-02 03:04:05+00');
INSERT INTO public.shares VALUES ('paid', 0, 0, true, NULL, NULL, NULL);
INSERT INTO public.shares VALUES ('pro', 0, 0, true, NULL, NULL, NULL);
INSERT INTO public.shares VALUES ('promoted', 0, 0, true, NULL, NULL, NULL);
INSERT INTO public.shares VALUES ('overdue_paid', 0, 0, true, NULL, NULL, NULL);
INSERT INTO public.shares VALUES ('overdue_pro', 0, 0, true, NULL, NULL, NULL);
INSERT INTO public.shares VALUES ('free', 0.24576, 0.12288, false, NULL, NULL, NULL);
INSERT INTO public.shares VALUES ('root', 0, 0.12288, false, NULL, 16.276041666666668, NULL);
INSERT INTO public.submissions VALUES ('ada', 'once-0', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', '["job_000000000000000000000000"]', '2026-01-02 03:04:05+00', '2026-01-03 03:04:05+00');
INSERT INTO public.tenants VALUES ('ada', 'pro', '2026-01-02 03:04:05+00', NULL);
INSERT INTO public.uploads VALUES (1, 'ada', 'abababababababababababababababababababababababababababababababab', 64, 64, '2026-01-02 03:04:05+00', true);
INSERT INTO public.users VALUES ('user_1', 'ada', 'ada@example.org', 'admin', '$argon2id$v=19$m=65536,t=3,p=4$Ta5cZoB0bhpEkiQYDXRURg$DxKIhhcYYcKza9gqjGIRYW0LvaFin4E7k4pGTx0S5Ks', '2026-01-02 03:04:05+00', NULL);
INSERT INTO public.webhooks VALUES ('wh_1', 'ada', 'https://hooks.example/x', '2026-01-02 03:04:05+00', NULL);
SELECT pg_catalog.setval('public.deliveries_seq_seq', 2, true);
SELECT pg_catalog.setval('public.images_seq_seq', 1, true);
SELECT pg_catalog.setval('public.jobs_seq_seq', 4, true);
SELECT pg_catalog.setval('public.refusals_seq_seq', 1, false);
SELECT pg_catalog.setval('public.uploads_seq_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (job, number);
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (job, step);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.flows
    ADD CONSTRAINT flows_pkey PRIMARY KEY (lane, tenant);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_id_key UNIQUE (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_old_prefix_key UNIQUE (old_prefix);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_prefix_key UNIQUE (prefix);
ALTER TABLE ONLY public.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (job);
ALTER TABLE ONLY public.previews
    ADD CONSTRAINT previews_pkey PRIMARY KEY (job);
ALTER TABLE ONLY public.refusals
    ADD CONSTRAINT refusals_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY public.shares
    ADD CONSTRAINT shares_pkey PRIMARY KEY (share);
ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT submissions_pkey PRIMARY KEY (tenant, name);
ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT uploads_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_name_key UNIQUE (name);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);
CREATE INDEX changes_at ON public.changes USING btree (at);
CREATE INDEX deliveries_due ON public.deliveries USING btree (next_at);
CREATE INDEX deliveries_of_webhook ON public.deliveries USING btree (webhook, seq);
CREATE INDEX flows_next ON public.flows USING btree (waits_in, is_at_burst, start_tag, backlogged_at);
CREATE UNIQUE INDEX images_of_job ON public.images USING btree (job, "position");
CREATE INDEX images_of_tenant ON public.images USING btree (tenant, seq);
CREATE INDEX images_png ON public.images USING btree (png);
CREATE INDEX images_webp ON public.images USING btree (webp);
CREATE INDEX jobs_due ON public.jobs USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX jobs_in_state ON public.jobs USING btree (state, finished_at);
CREATE INDEX jobs_leases ON public.jobs USING btree (lease_expires_at) WHERE (lease_expires_at IS NOT NULL);
CREATE INDEX jobs_of_batch ON public.jobs USING btree (batch, seq) WHERE (batch IS NOT NULL);
CREATE INDEX jobs_of_tenant ON public.jobs USING btree (tenant, seq);
CREATE INDEX jobs_open_of_tenant ON public.jobs USING btree (tenant, state);
CREATE INDEX jobs_started ON public.jobs USING btree (started_at) WHERE (started_at IS NOT NULL);
CREATE INDEX jobs_waiting ON public.jobs USING btree (waits_in, seq) WHERE (waits_in IS NOT NULL);
CREATE INDEX jobs_waiting_of_tenant ON public.jobs USING btree (waits_in, tenant, seq) WHERE (waits_in IS NOT NULL);
CREATE INDEX keys_of_tenant ON public.keys USING btree (tenant);
CREATE INDEX ledger_of_tenant ON public.ledger USING btree (tenant, month);
CREATE INDEX sessions_of_user ON public.sessions USING btree ("user");
CREATE INDEX submissions_over ON public.submissions USING btree (expires_at);
CREATE INDEX uploads_by_use ON public.uploads USING btree (used_at);
CREATE UNIQUE INDEX uploads_of_tenant ON public.uploads USING btree (tenant, content);
CREATE INDEX users_of_tenant ON public.users USING btree (tenant);
CREATE INDEX webhooks_of_tenant ON public.webhooks USING btree (tenant);
ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_webhook_fkey FOREIGN KEY (webhook) REFERENCES public.webhooks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_tenant_fkey FOREIGN KEY (tenant) REFERENCES public.tenants(id);
ALTER TABLE ONLY public.ledger
    ADD CONSTRAINT ledger_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_fkey FOREIGN KEY ("user") REFERENCES public.users(id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_tenant_fkey FOREIGN KEY (tenant) REFERENCES public.tenants(id);
