-- After a file of the first start: what the roles made for it own goes to the superuser, and to the database's owner with
-- it; their rights go with them.
DROP EVENT TRIGGER poppyfield_first_start;
SELECT format('REASSIGN OWNED BY %1$I TO postgres; DROP OWNED BY %1$I; DROP ROLE %1$I', name)
FROM poppyfield_first_start.roles \gexec
DROP SCHEMA poppyfield_first_start CASCADE;
