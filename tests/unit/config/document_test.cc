#include "config/document.h"

#include <gtest/gtest.h>

#include <ctime>
#include <functional>

#include "tests/unit/config/nasty.h"

namespace p11ha::config {
namespace {

std::string valueIn(const std::string& line) {
  return Document::parse("A = {\n" + line + "\n}\nB = {\nk = wrong;\n}\n").get("A", "k").value_or("(none)");
}

struct Variant {
  const char* line;
  const char* value;
};

TEST(Document, ReadsTheVariantsOfAConfLine) {
  const Variant variants[] = {
      {"k = v;", "v"},
      {"k=v;", "v"},
      {"K = v;", "v"},
      {"\tk\t=\tv\t;", "v"},
      {"k = v", "v"},
      {"k = v ; // c", "v"},
      {"k = v; // c; d", "v"},
      {"k = v;// c", "v"},
      {"k = v; c", "v"},
      {"k = v // c", "v"},
      {"k = v // c; d", "v"},
      {"k = v # c", "v"},
      {"k = v#c", "v#c"},
      {"k = HA #1;", "HA #1"},
      {"k = HA #1; # c", "HA #1"},
      {"k = ;", ""},
      {"k =;", ""},
      {"k =", ""},
      {"k = // c", ""},
      {"k = # c", ""},
      {"k = /tmp//x;", "/tmp//x"},
      {"k = /tmp//x", "/tmp//x"},
      {"k = http://host/a//b; // c", "http://host/a//b"},
      {"k = //server/share;", "//server/share"},
      {"k=//server/share", "//server/share"},
      {"k = // none; yet", ""},
      {"k = 'v';", "v"},
      {"k = \"v\";", "v"},
      {"k = \" v \" ;", " v "},
      {"k = 'a;b'; // c", "a;b"},
      {"k = 'a // b # c';", "a // b # c"},
      {"k = '';", ""},
      {"k = 'a' // c", "a"},
      {"k = 'a;", "'a"},
      {"k = a'b;c'd;", "a'b"},
      {"k = 'a' 'b';", "'a' 'b'"},
      {"k = 'x; // it's", "'x"},
      {"k = configdir='sql:/tmp/db' certPrefix='' flags=;", "configdir='sql:/tmp/db' certPrefix='' flags="},
      {"k = \"configdir='sql:/tmp/db' certPrefix=''\";", "configdir='sql:/tmp/db' certPrefix=''"},
      {"k = C:\\Program Files\\x;", "C:\\Program Files\\x"},
      {"k = a=b;", "a=b"},
      {"k = {v};", "{v}"},
      {"k = 1, 2 ,3;", "1, 2 ,3"},
      {"'k' = v;", "v"},
      {"k = v;\nk = w;", "v"},
      {"// k = w;\n# k = w;\n; k = w;\nk = v;", "v"},
      {"\n\n  \nk = v;", "v"},
      {"kk = w;\nk k = w;\nk = v;", "v"},
      {"l = v;", "(none)"},
      {"x // k = v;", "(none)"},
  };
  for (const Variant& variant : variants) {
    EXPECT_EQ(valueIn(variant.line), variant.value) << variant.line;
    EXPECT_EQ(valueIn(std::string(variant.line) + "\r"), variant.value) << variant.line << " with CR";
  }
}

TEST(Document, ReadsTheVariantsOfASectionHeader) {
  for (const char* header :
       {"LunaSA Client = {", "LunaSA Client={", "LunaSA Client {", "LunaSAClient = {", "lunasa client = {",
        "\tLunaSA Client\t=\t{\t", "LunaSA Client = { // c", "LunaSA Client = { # c", "LunaSA Client = {\r"}) {
    const Document document = Document::parse(std::string(header) + "\nk = v;\n}\n");
    EXPECT_EQ(document.get("LunaSA Client", "k"), "v") << header;
  }
}

TEST(Document, ReadsSectionsOnOneLine) {
  const Document document = Document::parse(
      "A = { k = v; }\nB { k = v }\nC={k=v;l=w;}D={k=x;} // c\nE = {}\nF = {\nk = v; }\nG = {\nk = y;\n};\n");
  EXPECT_EQ(document.sections(), (std::vector<std::string>{"A", "B", "C", "D", "E", "F", "G"}));
  EXPECT_EQ(document.get("A", "k"), "v");
  EXPECT_EQ(document.get("B", "k"), "v");
  EXPECT_EQ(document.get("C", "k"), "v");
  EXPECT_EQ(document.get("C", "l"), "w");
  EXPECT_EQ(document.get("D", "k"), "x");
  EXPECT_EQ(document.get("E", "k"), std::nullopt);
  EXPECT_EQ(document.get("F", "k"), "v");
  EXPECT_EQ(document.get("G", "k"), "y");
}

TEST(Document, ReadsAnIni) {
  const Document document = Document::parse(
      "; c\r\n[Misc]\r\nToolsDir=C:\\Program Files\\x\r\n[LunaSAClient]\r\nServerName00=a\r\n\r\n# c\r\n"
      " ServerPort00 = 1792 ; c\r\nServerHtl00=\r\nPath=a;b;\r\nQuoted=\"a ; b\"\r\nUrl=http://a//b\r\n"
      "Brace = {\r\nLabel=\"HA #1\" // c\r\n}\r\n");
  EXPECT_EQ(document.format(), Format::Ini);
  EXPECT_EQ(document.get("misc", "toolsdir"), "C:\\Program Files\\x");
  EXPECT_EQ(document.get("LunaSA Client", "ServerName00"), "a");
  EXPECT_EQ(document.get("LunaSA Client", "ServerPort00"), "1792");
  EXPECT_EQ(document.get("LunaSA Client", "ServerHtl00"), "");
  EXPECT_EQ(document.get("LunaSA Client", "Path"), "a;b");
  EXPECT_EQ(document.get("LunaSA Client", "Quoted"), "a ; b");
  EXPECT_EQ(document.get("LunaSA Client", "Url"), "http://a//b");
  EXPECT_EQ(document.get("LunaSA Client", "Brace"), "{");
  EXPECT_EQ(document.get("LunaSA Client", "Label"), "HA #1");
}

TEST(Document, TellsTheFormatByContentThenByName) {
  EXPECT_EQ(Document::parse("[A]\nk=v\n", "Chrystoki.conf").format(), Format::Ini);
  EXPECT_EQ(Document::parse("A = {\n}\n", "crystoki.ini").format(), Format::Conf);
  EXPECT_EQ(Document::parse("// [A]\nA = {\n[B]\n}\n", "").format(), Format::Conf);
  EXPECT_EQ(Document::parse("", "CRYSTOKI.INI").format(), Format::Ini);
  EXPECT_EQ(Document::parse("", "Chrystoki.conf").format(), Format::Conf);
  EXPECT_EQ(Document::parse("", "").format(), Format::Conf);
}

TEST(Document, GoesOnAfterAByteOrderMark) {
  EXPECT_EQ(Document::parse("\xef\xbb\xbf[A]\r\nk=v\r\n").get("A", "k"), "v");
  EXPECT_EQ(Document::parse("\xef\xbb\xbf"
                            "A = {\nk = v;\n}\n")
                .get("A", "k"),
            "v");
}

TEST(Document, TheFirstOfRepeatedSectionsAndKeysWins) {
  const Document document = Document::parse("A = {\nk = 1;\nk = 2;\n}\na = {\nk = 3;\nl = 4;\n}\n");
  EXPECT_EQ(document.get("A", "k"), "1");
  EXPECT_EQ(document.get("A", "l"), "4");
  const auto entries = document.entries("a");
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[1].value, "2");
  EXPECT_EQ(entries[1].line, 3U);
  EXPECT_EQ(entries[3].key, "l");
  EXPECT_EQ(entries[3].line, 7U);
}

TEST(Document, AnUnterminatedSectionEndsWhereTheNextBegins) {
  const Document document = Document::parse("A = {\nk = 1;\nB = {\nk = 2;\n}\nC = {\nk = 3;");
  EXPECT_EQ(document.get("A", "k"), "1");
  EXPECT_EQ(document.get("B", "k"), "2");
  EXPECT_EQ(document.get("C", "k"), "3");
}

std::vector<std::string> problemsOf(const std::string& text) {
  Diagnostics found("f");
  Document::parse(text, "f").diagnose(found, [](std::string_view name) { return name != "Other"; });
  std::vector<std::string> lines;
  for (const auto& each : found.take())
    lines.push_back((each.severity == Severity::Error ? "error " : "") + each.format());
  return lines;
}

TEST(Document, SaysWhatDoesNotFitTheGrammar) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(problemsOf("A = {\nk = v; // c\n\n# c\n}\n"), Lines{});
  EXPECT_EQ(problemsOf("A = {\nfoo\n}\n"), Lines{"f:2: expected \"key = value;\" or \"}\""});
  EXPECT_EQ(problemsOf("[A]\nfoo\n"), Lines{"f:2: expected \"Key=Value\""});
  EXPECT_EQ(problemsOf("k = v;\nA = {\n}\n"), Lines{"f:1: expected \"Section = {\" before it"});
  EXPECT_EQ(problemsOf("k=v\n[A]\n"), Lines{"f:1: expected \"[Section]\" before it"});
  EXPECT_EQ(problemsOf("A = {\n}\n}\n"), Lines{"f:3: expected no \"}\" outside of a section"});
  EXPECT_EQ(problemsOf("A = {\nB = {\n}\n"),
            Lines{"f:2: expected \"}\" of section \"A\" before section \"B\" begins; it is taken to end here"});
  EXPECT_EQ(problemsOf("\nA = {\nk = v;\n"), Lines{"f:2: expected \"}\" of section \"A\" before the end of the file"});
  EXPECT_EQ(
      problemsOf(std::string("A = {\nk = \0;\n}\n", 14)),
      Lines{"error f:2: expected text (ASCII or UTF-8), found a NUL byte; what cannot be read for it is ignored"});
}

TEST(Document, IsSilentAboutSectionsOfOthers) {
  EXPECT_TRUE(problemsOf("Other = {\nfoo\n").empty());
  EXPECT_EQ(problemsOf("Other = {\nMine = {\n}\n").size(), 1U);
}

TEST(Document, WritesBackEveryFileByteForByte) {
  auto files = test::nastyFiles();
  files.push_back(test::referenceConf());
  for (const auto& file : files) {
    for (const char* name : {"Chrystoki.conf", "crystoki.ini"}) {
      EXPECT_EQ(Document::parse(file, name).text(), file);
    }
  }
}

TEST(Document, EveryTruncationOfTheReferenceIsRead) {
  const std::string whole = test::referenceConf();
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    const Document document = Document::parse(whole.substr(0, n));
    ASSERT_EQ(document.text().size(), n);
    ASSERT_LE(document.entries("VirtualToken").size(), 4U);
  }
}

/// Seconds of this thread's processor to parse, at best of three.
double cost(const std::function<std::string(std::size_t)>& make, std::size_t size) {
  const auto spent = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  };
  const std::string text = make(size);
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const double begin = spent();
    const Document document = Document::parse(text);
    best = std::min(best, spent() - begin);
    EXPECT_EQ(document.text(), text);
  }
  return best;
}

TEST(Document, TakesTimeLinearInHostileText) {
  const auto repeated = [](const std::string& head, const std::string& piece) {
    return [=](std::size_t n) {
      std::string text = head;
      while (text.size() < n) text += piece;
      return text;
    };
  };
  const std::function<std::string(std::size_t)> makers[] = {
      repeated("A={", "a=1;"),     repeated("A={", "a=\"x;"),  repeated("A={", "a='x;b=\"x;"),
      repeated("A={\na=", "' "),   repeated("A={\na=", "} "),  repeated("", "A={"),
      repeated("", "}"),           repeated("", "{"),          repeated("A={\n", "B={\n"),
      repeated("A={a=", " //"),    repeated("A={a=", " #"),    repeated("A={a", " "),
      repeated("", "A={}"),        repeated("[A]\na=", " ;x"), repeated("[A]\n", "["),
      repeated("A={\n", "a={x;\n")};
  for (const auto& make : makers) {
    const double small = cost(make, 64 << 10);
    const double large = cost(make, 1 << 20);
    // 16 times the text: a quadratic reader would need 256 times as long.
    EXPECT_LT(large, small * 64 + 0.25) << make(16).substr(0, 16);
  }
}

}  // namespace
}  // namespace p11ha::config
