// Asks a scaler as any gRPC client would, by a contract of its own, and prints what it heard as JSON.
// node scaler_client.mjs NODE_MODULES PROTO ADDRESS METADATA-AS-JSON; it ends after the second word of StreamIsActive.
import { createRequire } from 'node:module';

const [modules, proto, address, metadata] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync(proto, { keepCase: true, longs: Number, defaults: true });
const { ExternalScaler } = grpc.loadPackageDefinition(definition).externalscaler;
const scaler = new ExternalScaler(address, grpc.credentials.createInsecure());
const ref = { name: 'dispatchers', namespace: 'sluicegate', scalerMetadata: JSON.parse(metadata) };

const ask = (method, request) =>
  new Promise((resolve) => scaler[method](request, (error, answer) => resolve(error ? grpc.status[error.code] : answer)));

const spec = await ask('GetMetricSpec', ref);
const { metricName } = spec.metricSpecs[0];
const heard = {
  spec,
  metrics: await ask('GetMetrics', { scaledObjectRef: ref, metricName }),
  unknown: await ask('GetMetrics', { scaledObjectRef: ref, metricName: 'another' }),
  active: await ask('IsActive', ref),
};

const stream = scaler.StreamIsActive(ref);
heard.pushed = await new Promise((resolve) => {
  const words = [];
  stream.on('data', ({ result }) => {
    words.push(result);
    if (words.length === 1) process.stderr.write('listening\n');
    else resolve(words);
  });
  stream.on('error', (error) => resolve([...words, grpc.status[error.code]]));
});
stream.cancel();
scaler.close();
process.stdout.write(`${JSON.stringify(heard)}\n`);
