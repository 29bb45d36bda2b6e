// Files that a parser may stumble over. None of them is well-formed all through.
#pragma once

#include <string>
#include <vector>

namespace p11ha::config::test {

inline std::vector<std::string> nastyFiles() {
  using namespace std::string_literals;
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  return {
      "",
      "\n",
      "\r\n\r\n",
      "x",
      "{",
      "}",
      "}}}}{{{{",
      "= = =",
      ";;;;",
      "[",
      "[]",
      "[ ]\nA=1",
      "[A",
      "[A]",
      "[A]\r\nK=V\r\n[B]\r\nK=V",
      "\xef\xbb\xbf[A]\r\nK=V\r\n",
      "\xef\xbb\xbf\x41 = {\nk = v;\n}\n",
      "A = {",
      "A = {\n",
      "A = {\nk = v",
      "A = {\nk = v;\nB = {\nk = w;\n}\nk = x;\n}\n",
      "A = {\nA = {\nA = {\n}\n}\n}\n",
      "A = { k = v; }\nB { k = v }\nC={k=v;l=w;}\n",
      "A = { k = v; } B = { k = v; } C = {}\n",
      "A = {\n  k = v; }\n",
      "A = {\n} k = v;\n}\n",
      "A = {\nk\n= v\n;\n}\n",
      "A = {\nk = 'v;\nk2 = \"v';\nk3 = 'a;b'; // c\nk4 = 'a' 'b';\n}\n",
      "A = {\nk = // c\n}\nA = {\nk=#x\nl = #x;\n}\n",
      "A = {\r\n\tk\t=\tv\t;\t// c\r\n}\r\n",
      "A = {\rk = v;\r}\r",
      "A = {\nk = v;\n\n\n  // c\n  # d\n}\n\n// end",
      "A = {\nk = {v};\nk2 = a{b}c;\nk3 = { x }\n}\n",
      "{\nk = v;\n}\n",
      "= {\nk = v;\n}\n",
      "// A = {\nk = v;\n// }\n",
      "A = {\nk = v;\n}\n[B]\nk = v\n",
      "[B]\nA = {\nk = v;\n}\n",
      "A\0B = {\nk\0 = \0v;\n}\n"s,
      "\xff\xfe\x41\0 \0=\0 \0{\0"s,
      every,
      every + every,
      "A = {\n" + every + "\n}\n",
      "A = {\n" + std::string(1000, ';') + "\n" + std::string(1000, '"') + "\n" + std::string(1000, '=') + "\n}\n",
  };
}

/// The configuration that the reference shows (ha-logging, "Configuring HA Logging").
inline std::string referenceConf() {
  return R"(VirtualToken = {
VirtualToken00Label = haGroup1; // The label of the HA group.
VirtualToken00SN = 11234840370164; // The pseudo serial number of the HA group.
VirtualToken00Members = 1234840370164, 1234924189183; // The serial number of the members.
VirtualTokenActiveRecovery = activeEnhanced; // The recovery mode.
}
HASynchronize = {
haGroup1 = 1; // Enable automatic synchronization of objects.
}
HAConfiguration = {
HAOnly = 1; // Enable listing HA groups only via PKCS#11 library.
haLogPath = /tmp/halog; // Base path of the HA log file; i.e., “/tmp/halog/haErrorLog.txt”.
haLogStatus = enabled; // Enable HA log.
logLen = 100000000; // Maximum size of HA log file in bytes.
failover_on_deactivation = 1; // if a partition becomes deactivated then the client will immediately 
                              // failover and resume its operation on the other HA partitions. This 
                              // is currently an alpha feature
reconnAtt = 120; // Number of recovery attempts.
}
HARecovery = {
haGroup1 = 1; // Deprecated in this release as auto recovery will cover the use case. When cryptoki 
              // loads into memory it reads the number and if the number changes (gets incremented) 
              // then cryptoki interprets this as a manual recovery attempt.
}
)";
}

}  // namespace p11ha::config::test
