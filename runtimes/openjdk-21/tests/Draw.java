import java.awt.Color;
import java.awt.Font;
import java.awt.GraphicsEnvironment;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.io.File;
import javax.imageio.ImageIO;

/** Draws a shape and a text without a screen, and reads the picture back. */
public class Draw {
    public static void main(String[] args) throws Exception {
        var image = new BufferedImage(200, 100, BufferedImage.TYPE_INT_RGB);
        var graphics = image.createGraphics();
        graphics.setColor(Color.WHITE);
        graphics.fillRect(0, 0, 200, 100);
        graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        graphics.setColor(Color.RED);
        graphics.fill(new Ellipse2D.Double(10, 10, 80, 80));
        graphics.setColor(Color.BLACK);
        graphics.setFont(new Font(Font.SANS_SERIF, Font.BOLD, 24));
        graphics.drawString("Grüße", 100, 60);
        graphics.dispose();
        for (String format : new String[] {"png", "jpg"}) {
            ImageIO.write(image, format, new File("drawn." + format));
        }

        BufferedImage read = ImageIO.read(new File("drawn.png"));
        int ink = 0;
        for (int x = 100; x < 200; x++) {
            for (int y = 0; y < 100; y++) {
                ink += (read.getRGB(x, y) & 0xff) < 128 ? 1 : 0;
            }
        }
        System.out.println("headless " + GraphicsEnvironment.isHeadless());
        System.out.println("circle " + Integer.toHexString(read.getRGB(50, 50)));
        System.out.println("text " + (ink > 200 && ink < 3000));
        System.out.println("jpeg " + (ImageIO.read(new File("drawn.jpg")).getWidth() == 200));
    }
}
