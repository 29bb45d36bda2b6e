#include <gtest/gtest.h>

#include "config/document.h"
#include "tests/unit/config/nasty.h"

namespace p11ha::config {
namespace {

std::string afterSet(const std::string& text, const char* section, const char* key, const char* value) {
  Document document = Document::parse(text);
  const Edit edit = document.set(section, key, value);
  EXPECT_TRUE(edit.ok()) << (edit.ok() ? "" : edit.error());
  EXPECT_EQ(document.get(section, key), value);
  return document.text();
}

TEST(Edit, ChangesOnlyTheValue) {
  EXPECT_EQ(afterSet("A = {\n\tK =  old ; // why\n}\n", "a", "k", "new"), "A = {\n\tK =  new ; // why\n}\n");
  EXPECT_EQ(afterSet("A={k=old;l=m;}", "A", "k", "new"), "A={k=new;l=m;}");
  EXPECT_EQ(afterSet("A = {\nk = ;\n}\n", "A", "k", "new"), "A = {\nk = new;\n}\n");
  EXPECT_EQ(afterSet("A = {\nk=;\n}\n", "A", "k", "new"), "A = {\nk=new;\n}\n");
  EXPECT_EQ(afterSet("A = {\nk =\n}\n", "A", "k", "new"), "A = {\nk =new\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = // c\n}\n", "A", "k", "new"), "A = {\nk = new // c\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old // c\n}\n", "A", "k", "new"), "A = {\nk = new // c\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", ""), "A = {\nk = ;\n}\n");
  EXPECT_EQ(afterSet("[A]\r\nK=old\r\n", "A", "K", "new"), "[A]\r\nK=new\r\n");
  EXPECT_EQ(afterSet("[A]\r\nK = old ; c\r\n", "A", "K", "new"), "[A]\r\nK = new ; c\r\n");
}

TEST(Edit, ChangesTheFirstOfRepeatedKeys) {
  EXPECT_EQ(afterSet("A = {\nk = 1;\nk = 2;\n}\nA = {\nk = 3;\n}\n", "A", "k", "9"),
            "A = {\nk = 9;\nk = 2;\n}\nA = {\nk = 3;\n}\n");
}

TEST(Edit, WritesQuotesWhereTheyWereOrAreNeeded) {
  EXPECT_EQ(afterSet("A = {\nk = 'old';\n}\n", "A", "k", "new"), "A = {\nk = 'new';\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = 'old';\n}\n", "A", "k", "it's"), "A = {\nk = it's;\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", "a;b"), "A = {\nk = \"a;b\";\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", "a \"//\" ;b"), "A = {\nk = 'a \"//\" ;b';\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", " x "), "A = {\nk = \" x \";\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", "'x'"), "A = {\nk = \"'x'\";\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old\n}\n", "A", "k", "HA #1"), "A = {\nk = \"HA #1\"\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", "HA #1"), "A = {\nk = HA #1;\n}\n");
  EXPECT_EQ(afterSet("A = {\nk = old;\n}\n", "A", "k", "{"), "A = {\nk = {;\n}\n");
  EXPECT_EQ(afterSet("[A]\nk=old\n", "A", "k", "a ;b"), "[A]\nk=\"a ;b\"\n");
  EXPECT_EQ(afterSet("[A]\nk=old\n", "A", "k", "a;"), "[A]\nk=\"a;\"\n");
}

TEST(Edit, RefusesWhatNoLineCanHold) {
  const std::string text = "A = {\nk = old;\n}\n";
  for (const char* value : {"a\nb", "a\r", "\x01", "\x7f", "a\"b'c;d"}) {
    for (const char* key : {"k", "l"}) {
      Document document = Document::parse(text);
      EXPECT_FALSE(document.set("A", key, value).ok()) << value;
      EXPECT_EQ(document.text(), text);
    }
  }
  Document document = Document::parse(text);
  EXPECT_EQ(document.set("A", "k", "a\nb").error(), "expected a value of one line without control characters");
  EXPECT_EQ(document.set("A", "k", "a\"b'c;d").error(), "expected a value that one line can hold, not \"a\"b'c;d\"");
  for (const char* key : {"", " ", "l = m", "l;", "l\nm", "// l", "#l", ";l", "}", "x // y", "l = {", "'l'", " l"}) {
    EXPECT_FALSE(document.set("A", key, "v").ok()) << key;
    EXPECT_FALSE(document.set("New", key, "v").ok()) << key;
  }
  for (const char* section : {"", " ", "B = {", "B;", "B\n", "B\nC = {", "// B", "#B", "}", "B}", "B\x01"}) {
    EXPECT_FALSE(document.addSection(section).ok()) << section;
    EXPECT_FALSE(document.set(section, "k", "v").ok()) << section;
  }
  EXPECT_EQ(document.addSection("B;").error(), "expected the name of a section, not \"B;\"");
  EXPECT_EQ(document.text(), text);
}

TEST(Edit, AValueCannotBringInLinesOfItsOwn) {
  Document document = Document::parse("A = {\nk = old;\n}\n");
  EXPECT_TRUE(document.set("A", "k", "x; } VirtualToken = {").ok());
  EXPECT_EQ(document.sections(), std::vector<std::string>{"A"});
  EXPECT_EQ(document.get("A", "k"), "x; } VirtualToken = {");
}

TEST(Edit, InsertsInTheStyleOfTheSection) {
  EXPECT_EQ(afterSet("A = {\n}\n", "A", "k", "v"), "A = {\nk = v;\n}\n");
  EXPECT_EQ(afterSet("A = {\n   x = y;\n}\n", "A", "k", "v"), "A = {\n   x = y;\n   k = v;\n}\n");
  EXPECT_EQ(afterSet("A = {\n\tx=y;\n\n}\n", "A", "k", "v"), "A = {\n\tx=y;\n\tk=v;\n\n}\n");
  EXPECT_EQ(afterSet("A = {\r\n  x = y;\r\n}\r\n", "A", "k", "v"), "A = {\r\n  x = y;\r\n  k = v;\r\n}\r\n");
  EXPECT_EQ(afterSet("A = {\n  x = y;\n}\nB = {\n}\n", "B", "k", "v"), "A = {\n  x = y;\n}\nB = {\n  k = v;\n}\n");
  EXPECT_EQ(afterSet("A = {\n}\nB = {\n  x = y;\n}\n", "A", "k", "v"), "A = {\n  k = v;\n}\nB = {\n  x = y;\n}\n");
  EXPECT_EQ(afterSet("A = { x = y; }\n", "A", "k", "v"), "A = { x = y; \nk = v;\n}\n");
  EXPECT_EQ(afterSet("A = {}", "A", "k", "v"), "A = {\nk = v;\n}");
  EXPECT_EQ(afterSet("A = {\n  x = y; }\n", "A", "k", "v"), "A = {\n  x = y; \nk = v;\n}\n");
  EXPECT_EQ(afterSet("A = {\n  x = y", "A", "k", "v"), "A = {\n  x = y\n  k = v;\n");
  EXPECT_EQ(afterSet("A = {\nx = y; // c\n       // d\n}\n", "A", "k", "v"),
            "A = {\nx = y; // c\n       // d\nk = v;\n}\n");
  EXPECT_EQ(afterSet("[A]\r\nX=Y\r\n\r\n[B]\r\nX=Y\r\n", "A", "K", "V"), "[A]\r\nX=Y\r\nK=V\r\n\r\n[B]\r\nX=Y\r\n");
  EXPECT_EQ(afterSet("[A]\nX = Y", "A", "K", "V"), "[A]\nX = Y\nK = V\n");
  EXPECT_EQ(afterSet("[A]\r\n", "A", "K", "V"), "[A]\r\nK=V\r\n");
}

TEST(Edit, AddsSectionsInTheStyleOfTheFile) {
  EXPECT_EQ(afterSet("", "A", "k", "v"), "A = {\nk = v;\n}\n");
  EXPECT_EQ(afterSet("X = {\n  x = y;\n}\n", "A", "k", "v"), "X = {\n  x = y;\n}\nA = {\n  k = v;\n}\n");
  EXPECT_EQ(afterSet("X {\n\tx=y;\n}", "A", "k", "v"), "X {\n\tx=y;\n}\nA {\n\tk=v;\n}\n");
  EXPECT_EQ(afterSet("X = {\n}\n\nY = {\n}\n", "A", "k", "v"), "X = {\n}\n\nY = {\n}\n\nA = {\nk = v;\n}\n");
  EXPECT_EQ(afterSet("X = {\r\n}\r\n \r\nY = {\r\n}\r\n", "A", "k", "v"),
            "X = {\r\n}\r\n \r\nY = {\r\n}\r\n\r\nA = {\r\nk = v;\r\n}\r\n");
  EXPECT_EQ(afterSet("[X]\r\nx=y\r\n", "A", "k", "v"), "[X]\r\nx=y\r\n\r\n[A]\r\nk=v\r\n");
  Document empty = Document::parse("", "crystoki.ini");
  ASSERT_TRUE(empty.set("A", "k", "v").ok());
  EXPECT_EQ(empty.text(), "[A]\r\nk=v\r\n");
  Document twice = Document::parse("LunaSAClient = {\n}\n");
  ASSERT_TRUE(twice.addSection("LunaSA Client").ok());
  EXPECT_EQ(twice.text(), "LunaSAClient = {\n}\n");
}

std::string afterErase(const std::string& text, const char* section, const char* key) {
  Document document = Document::parse(text);
  EXPECT_TRUE(document.eraseKey(section, key));
  EXPECT_EQ(document.get(section, key), std::nullopt);
  EXPECT_FALSE(document.eraseKey(section, key));
  return document.text();
}

TEST(Edit, ErasesAKeyWithItsComment) {
  EXPECT_EQ(afterErase("A = {\nx = y;\n k = v; // c\nz = z;\n}\n", "a", "K"), "A = {\nx = y;\nz = z;\n}\n");
  EXPECT_EQ(afterErase("A = {\nk = 1;\nk = 2;\n}\nA = {\nk = 3;\n}\n", "A", "k"), "A = {\n}\nA = {\n}\n");
  EXPECT_EQ(afterErase("A = { k = v; x = y; }\n", "A", "k"), "A = {  x = y; }\n");
  EXPECT_EQ(afterErase("A = {\nk = v; }\n", "A", "k"), "A = {\n }\n");
  EXPECT_EQ(afterErase("A = {\nk = v }\n", "A", "k"), "A = {\n }\n");
  EXPECT_EQ(afterErase("[A]\r\nK=V\r\nX=Y\r\n", "A", "K"), "[A]\r\nX=Y\r\n");
  EXPECT_EQ(afterErase("[A]\nK=V", "A", "K"), "[A]\n");
  EXPECT_EQ(afterErase("A = {\nk = v; // c\n       // d\n// e\nx = y;\n}\n", "A", "k"), "A = {\n// e\nx = y;\n}\n");
}

TEST(Edit, ErasesTheReferencesCommentThatRunsOverThreeLines) {
  const std::string text = afterErase(test::referenceConf(), "HAConfiguration", "failover_on_deactivation");
  EXPECT_EQ(text.find("alpha feature"), std::string::npos);
  EXPECT_NE(text.find("logLen = 100000000; // Maximum size of HA log file in bytes.\nreconnAtt = 120;"),
            std::string::npos);
}

TEST(Edit, ErasingDoesNotMakeAByteOrderMarkOfAName) {
  Document document = Document::parse("A = {\n}\xef\xbb\xbf = {\nk = v;\n}\n");
  ASSERT_TRUE(document.eraseSection("A"));
  EXPECT_EQ(document.text(), "\n\xef\xbb\xbf = {\nk = v;\n}\n");
  EXPECT_EQ(document.get("\xef\xbb\xbf", "k"), "v");
}

std::string afterEraseSection(const std::string& text, const char* section) {
  Document document = Document::parse(text);
  EXPECT_TRUE(document.eraseSection(section));
  EXPECT_FALSE(document.hasSection(section));
  EXPECT_FALSE(document.eraseSection(section));
  return document.text();
}

TEST(Edit, ErasesASection) {
  EXPECT_EQ(afterEraseSection("A = {\nk = v;\n}\nB = {\n}\n", "a"), "B = {\n}\n");
  EXPECT_EQ(afterEraseSection("A = {\n}\n// c\nB = {\n}; // d\nA={}\n", "A"), "// c\nB = {\n}; // d\n");
  EXPECT_EQ(afterEraseSection("A = {} B = {} C = {}\n", "B"), "A = {}  C = {}\n");
  EXPECT_EQ(afterEraseSection("A = {\nk = v;\n// of B\nB = {\n}\n", "A"), "// of B\nB = {\n}\n");
  EXPECT_EQ(afterEraseSection("[A]\r\nk=v\r\n\r\n; of B\r\n[B]\r\nk=v\r\n", "A"), "\r\n; of B\r\n[B]\r\nk=v\r\n");
  EXPECT_EQ(afterEraseSection("A = {\nx = y;\nB = {\n}\nz = z;\n", "B"), "A = {\nx = y;\n}\nz = z;\n");
}

TEST(Edit, SetOnNastyFilesIsReadBackOrRefusedWithoutAnyChange) {
  for (const auto& file : test::nastyFiles()) {
    for (const char* key : {"k", "new", "k2"}) {
      for (const char* value : {"v", "", "a;b", " // x", "}", "{", "'", "\"'\"", "[x]", "a = {"}) {
        Document document = Document::parse(file);
        const auto sections = document.sections();
        if (document.set("A", key, value)) {
          EXPECT_EQ(Document::parse(document.text()).get("A", key), value) << key << " in\n" << file;
          EXPECT_GE(document.sections().size(), sections.size());
        } else {
          EXPECT_EQ(document.text(), file);
        }
      }
    }
  }
}

TEST(Edit, SettingAllValuesToWhatTheyAreChangesNothing) {
  Document document = Document::parse(test::referenceConf());
  for (const auto& section : document.sections()) {
    for (const auto& entry : document.entries(section)) {
      ASSERT_TRUE(document.set(section, entry.key, entry.value).ok());
    }
  }
  EXPECT_EQ(document.text(), test::referenceConf());
}

}  // namespace
}  // namespace p11ha::config
