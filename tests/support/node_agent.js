// An agent in JavaScript, as its author would write it from the contract: node node_agent.js ADDRESS PROTO_DIR ID SECONDS.
// It beats from its one loop. Lines on stdin: `busy SECONDS`, `beat WORD`, `block SECONDS`.
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const readline = require("readline");

const [address, protoDir, serviceId, seconds] = process.argv.slice(2);
const definition = loader.loadSync("grid/registry/v1/registry_service.proto", {
  includeDirs: [protoDir],
  keepCase: true,
  longs: Number,
});
const { RegistryService } = grpc.loadPackageDefinition(definition).grid.registry.v1;
const client = new RegistryService(address, grpc.credentials.createInsecure());
let stream = null;
let incarnation = 0;
let sequence = 0;

function connect() {
  stream = client.Heartbeat();
  const service = {
    service_id: serviceId,
    name: serviceId,
    incarnation,
    heartbeat_interval: { seconds: Number(seconds) },
  };
  stream.on("data", (message) => {
    if (message.registered) {
      if (!incarnation) console.log("registered");
      incarnation = message.registered.service.incarnation;
    } else if (message.unknown_service) {
      incarnation = 0;
      stream.write({ register: { service: { ...service, incarnation: 0 } } });
    }
  });
  stream.on("error", () => setTimeout(connect, 100 + 400 * Math.random()));
  stream.write({ register: { service } });
}

function beat(figures) {
  sequence += 1;
  stream.write({
    beats: { beats: [{ service_id: serviceId, incarnation, sequence, ...figures }], ack_requested: true },
  });
}

connect();
setInterval(() => beat({}), 1000 * Number(seconds));
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, argument] = line.split(" ");
  if (word === "busy") beat({ busy_until: { seconds: Math.floor(Date.now() / 1000) + Number(argument) } });
  if (word === "beat") beat({ message: argument });
  if (word === "block") {
    // As a loop that computes would, without the processor for it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * Number(argument));
  }
});
